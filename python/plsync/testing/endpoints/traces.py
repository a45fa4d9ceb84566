"""Endpoints of traces: spans come in, traces are read and closed."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta, timezone

from plsync.testing.endpoints.answers import Answer, Asked, Refused, failure, ok, parse
from plsync.testing.endpoints.routes import Route
from plsync.testing.schema import check
from plsync.testing.state.registry import Registry
from plsync.testing.state.workspace import JSON, Workspace

__all__ = ["Traces"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Traces:
    """``/spans-bulk`` and ``/api/public/v2/traces``."""

    def __init__(self, workspace: Workspace, registry: Registry, *, validate: bool) -> None:
        """Serve this workspace; without ``validate`` any span with a name and ids is taken."""
        self._workspace = workspace
        self._registry = registry
        self._validate = validate

    def routes(self) -> list[Route]:
        """What these endpoints answer."""
        trace = "/api/public/v2/traces/([^/]+)"
        return [
            ("POST", "/spans-bulk", self._spans_bulk),
            ("GET", trace, self._trace),
            ("POST", f"{trace}/close", self._close),
        ]

    def _spans_bulk(self, asked: Asked) -> Answer:
        bulk = parse(asked.body)
        if self._validate:
            check("SpansBulk", bulk)
        elif not _usable(bulk):
            raise Refused(failure(422, "Not a batch of spans with names and ids"))
        return ok(self._workspace.add_spans(bulk, asked.body, self._registry.names()), 201)

    def _trace(self, asked: Asked) -> Answer:
        spans = [_with_dates(span) for span in self._workspace.trace(asked.identifier)]
        return ok({"success": True, "trace_id": asked.identifier, "spans": spans})

    def _close(self, asked: Asked) -> Answer:
        if not self._workspace.close(asked.identifier):
            return failure(409, "Trace already closed")
        now = datetime.now(timezone.utc).isoformat()
        closure = {"id": str(uuid.uuid4()), "workspace_id": 1, "trace_id": asked.identifier, "status": "closed"}
        return ok({"success": True, "closure": {**closure, "created_at": now, "updated_at": now}}, 201)


def _with_dates(span: JSON) -> JSON:
    """A span as it is listed: nanoseconds come in, dates go out."""
    return {**span, "start_time": _date(span["start_time"]), "end_time": _date(span["end_time"])}


def _date(ns: int | None) -> str | None:
    return None if ns is None else (_EPOCH + timedelta(microseconds=ns // 1000)).isoformat()


def _usable(bulk: JSON) -> bool:
    """Whether a batch that nobody validated can be stored."""
    try:
        return all(
            span["name"] and span["context"]["trace_id"] and span["context"]["span_id"] for span in bulk["spans"]
        )
    except (KeyError, TypeError):
        return False
