"""What PromptLayer keeps for one workspace: spans, request logs and what is attached to them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from plsync.testing.schema import Filter, FilterGroup, Span

JSON = dict[str, Any]


class NotFound(Exception):
    """There is no such thing in the workspace."""


class Workspace:
    """Spans, logs, scores, links and groups, in memory. Not thread-safe: the server holds a lock around it."""

    def __init__(self) -> None:
        """Start empty."""
        self.spans: dict[str, JSON] = {}
        self.logs: dict[int, JSON] = {}
        self.closed_traces: set[str] = set()
        self.scores: dict[int, dict[str, int]] = {}
        self.prompt_links: dict[int, JSON] = {}
        self.groups: dict[int, list[int]] = {}
        self._span_rows = itertools.count(1)
        self._log_ids = itertools.count(1001)
        self._group_ids = itertools.count(1)

    def add_log(self, body: JSON, *, span_id: str | None = None, trace_id: str | None = None) -> JSON:
        """Store a request log and give it an id. Nothing here makes it idempotent, as nothing does at PromptLayer."""
        log = {
            **body,
            "id": next(self._log_ids),
            "metadata": dict(body.get("metadata") or {}),
            "span_id": span_id,
            "trace_id": trace_id,
        }
        self.logs[log["id"]] = log
        return log

    def add_spans(self, spans: Iterable[tuple[Span, JSON]], close_after: bool, known_prompts: Iterable[str]) -> JSON:
        """Store a batch: first of a span id within it wins, last across batches; closed traces are refused.

        PromptLayer does not say whether a span that comes twice makes its log twice. Here it does: the worst case.
        """
        prompts = set(known_prompts)
        stored: list[JSON] = []
        logs: list[JSON] = []
        rejected: list[Span] = []
        seen: set[str] = set()
        for span, raw in spans:
            span_id, trace_id = span.context.span_id, span.context.trace_id
            if trace_id in self.closed_traces:
                rejected.append(span)
                continue
            if span_id in seen:
                continue
            seen.add(span_id)
            row_id = self.spans[span_id]["id"] if span_id in self.spans else next(self._span_rows)
            row = {**raw, "id": row_id, "span_id": span_id, "trace_id": trace_id, "request_log_id": None}
            self.spans[span_id] = row
            stored.append({"id": row_id, "name": span.name, "span_id": span_id})
            request = raw.get("log_request")
            # PromptLayer skips the log, silently, when the prompt it names does not exist.
            if request is None or (request.get("prompt_name") or "") not in {"", *prompts}:
                continue
            log = self.add_log(request, span_id=span_id, trace_id=trace_id)
            row["request_log_id"] = log["id"]
            logs.append({"id": log["id"], "span_id": span_id})
        if close_after:
            self.closed_traces.update(self.spans[span_id]["trace_id"] for span_id in seen)
        answer: JSON = {"success": True, "spans": stored, "request_logs": logs}
        if rejected:
            answer |= {
                "rejected_span_ids": [span.context.span_id for span in rejected],
                "rejected_trace_ids": sorted({span.context.trace_id for span in rejected}),
                "rejection_reason": "trace_closed",
            }
        return answer

    def trace(self, trace_id: str) -> list[JSON]:
        """The spans of a trace, as ``GET /api/public/v2/traces/{trace_id}`` lists them."""
        rows = [row for row in self.spans.values() if row["trace_id"] == trace_id]
        if not rows:
            raise NotFound(f"Trace {trace_id} not found")
        keys = ("id", "name", "span_id", "parent_id", "request_log_id", "start_time", "end_time")
        return [{key: row.get(key) for key in keys} for row in rows]

    def log(self, request_id: int | str) -> JSON:
        """The request log with that id."""
        try:
            return self.logs[int(request_id)]
        except (KeyError, ValueError):
            raise NotFound(f"Request {request_id} not found") from None

    def search(self, group: FilterGroup) -> list[JSON]:
        """Logs that match, newest first."""
        test = all if group.logic == "AND" else any
        found = [log for log in self.logs.values() if test(_matches(log, condition) for condition in group.filters)]
        return found[::-1]

    def score(self, request_id: int, name: str, score: int) -> None:
        """Set a score of a request."""
        self.scores.setdefault(self.log(request_id)["id"], {})[name] = score

    def add_metadata(self, request_id: int | str, metadata: dict[str, str]) -> None:
        """Add metadata to a request; keys that are there are replaced."""
        self.log(request_id)["metadata"].update(metadata)

    def link_prompt(self, request_id: int | str, link: JSON) -> None:
        """Say which prompt a request came from."""
        self.prompt_links[self.log(request_id)["id"]] = link

    def add_group(self) -> int:
        """A new group's id."""
        group_id = next(self._group_ids)
        self.groups[group_id] = []
        return group_id

    def join_group(self, request_id: int, group_id: int) -> None:
        """Put a request into a group."""
        log_id = self.log(request_id)["id"]
        if group_id not in self.groups:
            raise NotFound(f"Group {group_id} not found")
        if log_id not in self.groups[group_id]:
            self.groups[group_id].append(log_id)


def _matches(log: JSON, condition: Filter) -> bool:
    wanted = [condition.value] if isinstance(condition.value, str) else condition.value
    return log["metadata"].get(condition.nested_key) in wanted
