"""``/v1/traces``: spans as OpenTelemetry exports them, and PromptLayer's SDK when it traces."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

import orjson

from plsync.testing.endpoints.answers import Answer, Asked, Refused, failure, ok, parse
from plsync.testing.endpoints.routes import Route
from plsync.testing.state.keeping import JSON
from plsync.testing.state.workspace import Workspace

__all__ = ["OpenTelemetry"]

_PROTOBUF = "application/x-protobuf"
_ID = {"traceId": re.compile("[0-9a-f]{32}"), "spanId": re.compile("[0-9a-f]{16}")}
_STATUSES = ("StatusCode.UNSET", "StatusCode.OK", "StatusCode.ERROR")
_KINDS = ("INTERNAL", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")


class OpenTelemetry:
    """``/v1/traces``, protobuf or JSON.

    PromptLayer makes request logs of ``gen_ai.*`` spans, in its own time. Here they stay spans.
    """

    def __init__(self, workspace: Workspace) -> None:
        """Serve this workspace."""
        self._workspace = workspace

    def routes(self) -> list[Route]:
        """What this endpoint answers."""
        return [("POST", "/v1/traces", self._export)]

    def _export(self, asked: Asked) -> Answer:
        spans = list(_spans(_read(asked)))
        valid = [span for span in spans if all(_ID[key].fullmatch(str(span.get(key))) for key in _ID)]
        traces = {span["traceId"] for span in valid}
        closed = sorted(trace_id for trace_id in traces if self._workspace.is_closed(trace_id))
        if closed:
            return ok({"error": f"Trace already closed: {closed[0]}", "trace_ids": closed}, 409)
        batch = {"spans": [_as_bulk(span) for span in valid], "close_after": asked.query.get("close_after") == "true"}
        self._workspace.add_spans(batch, orjson.dumps(batch), ())
        rejected = len(spans) - len(valid)
        if asked.headers.get("content-type") == _PROTOBUF and not rejected:
            return Answer(200, b"", {"Content-Type": _PROTOBUF})  # an empty ExportTraceServiceResponse
        partial = {"rejectedSpans": rejected, "errorMessage": "Invalid traceId or spanId length"} if rejected else None
        return ok({"partialSuccess": partial})


def _read(asked: Asked) -> Any:
    kind = asked.headers.get("content-type", "").partition(";")[0]
    if kind == "application/json":
        return parse(asked.body)
    if kind != _PROTOBUF:
        raise Refused(failure(415, "Content-Type must be application/x-protobuf or application/json"))
    # Both come with PromptLayer's SDK, and are heavy.
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415
    from google.protobuf.message import DecodeError  # noqa: PLC0415
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: PLC0415

    try:
        export = MessageToDict(ExportTraceServiceRequest.FromString(asked.body))
    except DecodeError:
        raise Refused(failure(422, "The body is not an ExportTraceServiceRequest")) from None
    for span in _spans(export):
        span.update({key: base64.b64decode(span[key]).hex() for key in (*_ID, "parentSpanId") if key in span})
    return export


def _spans(export: Any) -> Iterator[JSON]:
    try:
        for resource in export["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                yield from scope["spans"]
    except (KeyError, TypeError):
        raise Refused(failure(422, "The body is not an ExportTraceServiceRequest")) from None


def _as_bulk(span: JSON) -> JSON:
    """As a span of ``/spans-bulk``."""
    status, kind = span.get("status", {}), span.get("kind", 1)
    code = status.get("code", 0)
    return {
        "name": span.get("name", ""),
        "context": {"trace_id": span["traceId"], "span_id": span["spanId"], "trace_state": span.get("traceState", "")},
        "kind": "SpanKind." + (kind.removeprefix("SPAN_KIND_") if isinstance(kind, str) else _KINDS[kind]),
        "parent_id": span.get("parentSpanId") or None,
        "start_time": int(span.get("startTimeUnixNano", 0)),
        "end_time": int(span.get("endTimeUnixNano", 0)),
        "status": {
            "status_code": code.replace("STATUS_CODE_", "StatusCode.") if isinstance(code, str) else _STATUSES[code]
        },
        "attributes": {pair["key"]: _value(pair["value"]) for pair in span.get("attributes", [])},
        "resource": {"attributes": {}, "schema_url": ""},
    }


def _value(value: JSON) -> Any:
    if "arrayValue" in value:
        return [_value(item) for item in value["arrayValue"].get("values", [])]
    return int(value["intValue"]) if "intValue" in value else next(iter(value.values()), "")
