"""Endpoints that store spans, and return and close traces."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone

from plsync.testing.endpoints.http import HTTPError, Request, Response, error_response, json_response, parse_json
from plsync.testing.endpoints.routes import Route
from plsync.testing.schema import check
from plsync.testing.state.registry import Registry
from plsync.testing.state.workspace import JSON, Workspace

__all__ = ["Traces"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Traces:
    """``/spans-bulk`` and ``/api/public/v2/traces``."""

    def __init__(self, workspace: Workspace, registry: Registry, *, validate: bool) -> None:
        self._workspace = workspace
        self._registry = registry
        self._validate = validate

    def routes(self) -> list[Route]:
        """The paths of these endpoints."""
        trace = "/api/public/v2/traces/([^/]+)"
        return [
            ("POST", "/spans-bulk", self._spans_bulk),
            ("GET", trace, self._trace),
            ("POST", f"{trace}/close", self._close),
        ]

    def _spans_bulk(self, request: Request) -> Response:
        bulk = parse_json(request.body)
        if self._validate:
            check("SpansBulk", bulk)
        elif not _has_names_and_ids(bulk):
            raise HTTPError(error_response(422, "Not a batch of spans with names and ids"))
        return json_response(self._workspace.add_spans(bulk, request.body, self._registry.names()), 201)

    def _trace(self, request: Request) -> Response:
        spans = [_with_dates(span) for span in self._workspace.trace(request.identifier)]
        return json_response({"success": True, "trace_id": request.identifier, "spans": spans})

    def _close(self, request: Request) -> Response:
        if not self._workspace.close(request.identifier):
            return error_response(409, "Trace already closed")
        now = datetime.now(timezone.utc).isoformat()
        closure = {"id": str(uuid.uuid4()), "workspace_id": 1, "trace_id": request.identifier, "status": "closed"}
        return json_response({"success": True, "closure": {**closure, "created_at": now, "updated_at": now}}, 201)


def _with_dates(span: JSON) -> JSON:
    """The span with its times as ISO 8601; the request has nanoseconds."""
    return {**span, "start_time": _date(span["start_time"]), "end_time": _date(span["end_time"])}


def _date(ns: int | None) -> str | None:
    return None if ns is None else (_EPOCH + timedelta(microseconds=ns // 1000)).isoformat()


def _has_names_and_ids(bulk: JSON) -> bool:
    """Whether an unvalidated batch can be stored."""
    try:
        return all(
            span["name"] and span["context"]["trace_id"] and span["context"]["span_id"] for span in bulk["spans"]
        )
    except (KeyError, TypeError):
        return False
