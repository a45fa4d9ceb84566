"""``/v1/traces``: spans in the format of OpenTelemetry exporters and of PromptLayer's SDK."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

import orjson

from plsync.testing.endpoints.http import HTTPError, Request, Response, error_response, json_response, parse_json
from plsync.testing.endpoints.routes import Route
from plsync.testing.state.storage import JSON
from plsync.testing.state.workspace import Workspace

__all__ = ["OpenTelemetry"]

_PROTOBUF = "application/x-protobuf"
_ID = {"traceId": re.compile("[0-9a-f]{32}"), "spanId": re.compile("[0-9a-f]{16}")}
_STATUSES = ("StatusCode.UNSET", "StatusCode.OK", "StatusCode.ERROR")
_KINDS = ("INTERNAL", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER")


class OpenTelemetry:
    """``/v1/traces``, protobuf or JSON.

    PromptLayer turns ``gen_ai.*`` spans into request logs, some time later. The stand-in stores spans only.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def routes(self) -> list[Route]:
        """The path of this endpoint."""
        return [("POST", "/v1/traces", self._export)]

    def _export(self, request: Request) -> Response:
        spans = list(_spans(_read(request)))
        valid = [span for span in spans if all(_ID[key].fullmatch(str(span.get(key))) for key in _ID)]
        traces = {span["traceId"] for span in valid}
        closed = sorted(trace_id for trace_id in traces if self._workspace.is_closed(trace_id))
        if closed:
            return json_response({"error": f"Trace already closed: {closed[0]}", "trace_ids": closed}, 409)
        batch = {"spans": [_as_bulk(span) for span in valid], "close_after": request.query.get("close_after") == "true"}
        self._workspace.add_spans(batch, orjson.dumps(batch), ())
        rejected = len(spans) - len(valid)
        if request.headers.get("content-type") == _PROTOBUF and not rejected:
            return Response(200, b"", {"Content-Type": _PROTOBUF})  # an empty ExportTraceServiceResponse
        partial = {"rejectedSpans": rejected, "errorMessage": "Invalid traceId or spanId length"} if rejected else None
        return json_response({"partialSuccess": partial})


def _read(request: Request) -> Any:
    kind = request.headers.get("content-type", "").partition(";")[0]
    if kind == "application/json":
        return parse_json(request.body)
    if kind != _PROTOBUF:
        raise HTTPError(error_response(415, "Content-Type must be application/x-protobuf or application/json"))
    export = _decode(request.body)
    for span in _spans(export):
        for owner in (span, *span.get("links", ())):
            owner.update({key: base64.b64decode(owner[key]).hex() for key in (*_ID, "parentSpanId") if key in owner})
    return export


def _decode(body: bytes) -> Any:
    # PromptLayer's SDK installs both packages. They are slow to import.
    try:
        from google.protobuf.json_format import MessageToDict  # noqa: PLC0415
        from google.protobuf.message import DecodeError  # noqa: PLC0415
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: PLC0415
    except ImportError:
        message = "The stand-in reads protobuf with opentelemetry-proto; install it, or send JSON"
        raise HTTPError(error_response(501, message)) from None
    try:
        return MessageToDict(ExportTraceServiceRequest.FromString(body))
    except DecodeError:
        raise HTTPError(error_response(422, "The body is not an ExportTraceServiceRequest")) from None


def _spans(export: Any) -> Iterator[JSON]:
    try:
        for resource in export["resourceSpans"]:
            for scope in resource["scopeSpans"]:
                yield from scope["spans"]
    except (KeyError, TypeError):
        raise HTTPError(error_response(422, "The body is not an ExportTraceServiceRequest")) from None


def _as_bulk(span: JSON) -> JSON:
    """The span in the form of ``/spans-bulk``."""
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
        "attributes": _attributes(span),
        "links": [_link(link) for link in span.get("links", [])],
        "resource": {"attributes": {}, "schema_url": ""},
    }


def _link(link: JSON) -> JSON:
    context = {"trace_id": link.get("traceId", ""), "span_id": link.get("spanId", ""), "trace_state": ""}
    return {"context": context, "attributes": _attributes(link)}


def _attributes(owner: JSON) -> JSON:
    return {pair["key"]: _value(pair["value"]) for pair in owner.get("attributes", [])}


def _value(value: JSON) -> Any:
    if "arrayValue" in value:
        return [_value(item) for item in value["arrayValue"].get("values", [])]
    return int(value["intValue"]) if "intValue" in value else next(iter(value.values()), "")
