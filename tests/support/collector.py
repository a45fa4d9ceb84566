"""A collector on loopback, which takes spans by OTLP over HTTP and answers as a test demands."""

from __future__ import annotations

import gzip
import ssl
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from tests.support.loopback_server import Connection, LoopbackServer

__all__ = ["Answer", "Collector", "attributes"]


@dataclass
class Answer:
    """A response of the collector."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @classmethod
    def rejecting(cls, spans: int, reason: str) -> Answer:
        """A partial success."""
        made = ExportTraceServiceResponse()
        made.partial_success.rejected_spans, made.partial_success.error_message = spans, reason
        return cls(body=made.SerializeToString())


class Collector(LoopbackServer):
    """Keeps the messages that it received.

    Args:
        answers: the responses to the first requests. The later ones succeed.
        largest: the greatest number of spans in a message that is accepted.
        tls: the certificates of the server; None for a server without TLS.
    """

    def __init__(self, *answers: Answer, largest: int | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.messages: list[ExportTraceServiceRequest] = []
        """The messages that were accepted."""
        self.requests: list[tuple[str, dict[str, str]]] = []
        """The path and the headers of every request."""
        self.clients: list[Any] = []
        """The certificate of the client of every request to a server with TLS."""
        waiting = list(answers)
        collector = self

        class Handler(Connection):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                if self.headers["content-encoding"] == "gzip":
                    body = gzip.decompress(body)
                message = ExportTraceServiceRequest.FromString(body)
                if isinstance(self.connection, ssl.SSLSocket):
                    collector.clients.append(self.connection.getpeercert())
                collector.requests.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
                answer = waiting.pop(0) if waiting else Answer()
                if largest is not None and len(list(_spans(message))) > largest:
                    answer = Answer(413)
                if answer.status == 200:
                    collector.messages.append(message)
                self.send_response(answer.status)
                for name, value in {**answer.headers, "content-length": str(len(answer.body))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)

        super().__init__(Handler, tls=tls)

    @property
    def spans(self) -> list[Any]:
        """The spans that were accepted, in order."""
        return [span for message in self.messages for span in _spans(message)]


def _spans(message: ExportTraceServiceRequest) -> Any:
    return (span for resource in message.resource_spans for scope in resource.scope_spans for span in scope.spans)


def attributes(owner: Any) -> dict[str, Any]:
    """The attributes of a span or a resource."""
    return {one.key: _value(one.value) for one in owner.attributes}


def _value(value: Any) -> Any:
    kind = value.WhichOneof("value")
    return [_value(item) for item in value.array_value.values] if kind == "array_value" else getattr(value, kind)
