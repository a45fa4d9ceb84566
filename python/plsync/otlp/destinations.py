"""Where spans go: a collector by OTLP over HTTP."""

from __future__ import annotations

import gzip
import random
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, Protocol

import httpx

from plsync._common.redaction import redact_text
from plsync.errors import ExportError, SyncError
from plsync.otlp import environment, tls
from plsync.promptlayer.proxies import proxy_of_environment
from plsync.promptlayer.server_url import ServerURL

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

__all__ = ["Collector", "Destination", "TooLarge"]

# The statuses after which OTLP allows another attempt.
_RETRIED: Final = frozenset({429, 502, 503, 504})
# Seconds. The waits double from the first to the longest, 3 minutes in all.
_FIRST_WAIT, _LONGEST_WAIT, _ATTEMPTS = 1.0, 60.0, 9
_SHOWN: Final = 300
_LARGEST: Final = 1 << 20


class TooLarge(Exception):
    """The collector refuses a message of this size."""


class Destination(Protocol):
    """A destination of spans."""

    name: str
    """The URL or the path, for messages and for the cursor."""

    @property
    def batch_bytes(self) -> int:
        """About the size of a message."""

    def send(self, message: ExportTraceServiceRequest) -> tuple[int, str]:
        """Send spans. Returns the number of spans that were rejected for good, and the reason, or a warning.

        Raises:
            TooLarge: the destination takes smaller messages only.
            ExportError: the destination cannot be reached, or refused the spans.
        """

    def settle(self) -> bool:
        """Keep the spans that were sent, also if the export fails. Returns whether they are safe by now."""

    def close(self) -> None:
        """Finish. The spans that were sent are safe after this."""

    def abandon(self) -> bool:
        """Finish, and undo the messages that were not settled. Returns whether the settled ones became safe."""


class Collector:
    """A collector that takes OTLP over HTTP.

    Args:
        url: its URL. Without a path, ``/v1/traces`` is added.

    Raises:
        ExportError: the URL or a variable of the environment is wrong.
    """

    # Collectors take messages of up to 4 or 20 MB by default.
    batch_bytes: Final = 2 << 20

    def __init__(self, url: str) -> None:
        try:
            server = ServerURL.parse(url, "--otlp")
            proxy = proxy_of_environment(server.url)
        except SyncError as error:
            raise ExportError(str(error)) from None
        self.name = server.shown if server.path else f"{server.address}/v1/traces"
        self.url = server.url if server.path else server.url.copy_with(path="/v1/traces")
        self._is_compressed = environment.is_compressed()
        headers = {"content-type": "application/x-protobuf", "accept-encoding": "identity"}
        if self._is_compressed:
            headers["content-encoding"] = "gzip"
        self._client = httpx.Client(
            headers={**headers, **environment.headers()},
            timeout=environment.timeout(),
            trust_env=False,
            proxy=proxy,
            verify=tls.context(),
        )

    def send(self, message: ExportTraceServiceRequest) -> tuple[int, str]:
        """Send spans, with the retries that OTLP allows.

        Raises:
            TooLarge, ExportError: as :meth:`Destination.send`.
        """
        body = message.SerializeToString()
        if self._is_compressed:
            body = gzip.compress(body, 1, mtime=0)
        reason = ""
        for attempt in range(_ATTEMPTS):
            pause = random.uniform(0.5, 1.0) * min(_LONGEST_WAIT, _FIRST_WAIT * 2**attempt)  # noqa: S311 - no secret
            try:
                with self._client.stream("POST", self.url, content=body) as response:
                    content = _content(response)
            except httpx.TransportError as error:
                if (refusal := tls.refusal(error)) is not None:
                    raise ExportError(
                        f"{self.name} cannot be reached by TLS ({refusal}); the spans before are there"
                    ) from error
                reason = f"{self.name} cannot be reached ({type(error).__name__}: {error})"
            else:
                if response.is_success:
                    return _rejected(content)
                if response.status_code == 413:
                    raise TooLarge
                reason = f"{self.name} sent {response.status_code}: {_shown(response, content)}"
                if response.status_code not in _RETRIED:
                    raise ExportError(f"{reason}; the spans before are there: correct the cause and export again")
                pause = max(pause, _retry_after(response.headers))
            if attempt + 1 < _ATTEMPTS:
                time.sleep(min(pause, _LONGEST_WAIT))
        raise ExportError(f"{reason}; the spans before are there: export again later")

    def settle(self) -> bool:
        """The collector has the spans."""
        return True

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def abandon(self) -> bool:
        """Close the connection."""
        self._client.close()
        return False


def _content(response: httpx.Response) -> bytes:
    """The beginning of a response. A collector has no reason to send more."""
    found = b""
    for chunk in response.iter_raw():
        found += chunk
        if len(found) > _LARGEST:
            break
    return found[:_LARGEST]


def _shown(response: httpx.Response, content: bytes) -> str:
    is_text = not response.headers.get("content-type", "").startswith("application/x-protobuf")
    text = " ".join(content[: 4 * _SHOWN].decode("utf-8", "replace").split())[:_SHOWN] if is_text else ""
    return redact_text(text) or response.reason_phrase


def _rejected(content: bytes) -> tuple[int, str]:
    """The spans that a collector rejected in a success, and its message. OTLP forbids to send them again."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - an extra
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415
        ExportTraceServiceResponse,
    )

    try:
        partial = ExportTraceServiceResponse.FromString(content).partial_success
    except DecodeError:  # a backend that responds with a text
        return 0, ""
    return int(partial.rejected_spans), " ".join(str(partial.error_message).split())[:_SHOWN]


def _retry_after(headers: Mapping[str, str]) -> float:
    value = headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value[:6])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0
