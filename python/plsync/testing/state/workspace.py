"""One PromptLayer workspace: traces, request logs, scores, prompt links and groups."""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection

from plsync.testing.state.search import find_logs
from plsync.testing.state.storage import JSON, FullStorage, Payload, Storage

__all__ = ["JSON", "NotFound", "Workspace"]

_LONGEST_NUMBER = 20
_EPOCH = 1_767_225_600
_IDS_PER_SECOND = 100_000


def new_request_id() -> int:
    """A request id that no earlier stand-in on this machine has returned: 100,000 for each second since 2026.

    A journal that two stand-ins have sent to would otherwise hold two records with one id.
    """
    return int((time.time() - _EPOCH) * _IDS_PER_SECOND)


class NotFound(Exception):
    """The workspace has no object with that id or name."""


class Workspace:
    """Traces, logs, scores, links and groups, in memory. Not thread-safe: the server holds a lock around it.

    Args:
        storage: stores spans and logs.
        lag: seconds before traces and searches show a log. PromptLayer does not document this delay; its SDK polls for
            five seconds.
        first_request_id: the id of the first log; None for an id from the time.
    """

    def __init__(self, storage: Storage | None = None, lag: float = 0.0, first_request_id: int | None = None) -> None:
        self.storage: Storage = FullStorage() if storage is None else storage
        self.scores: dict[int, dict[str, int]] = {}
        self.prompt_links: dict[int, JSON] = {}
        self.groups: dict[int, list[int]] = {}
        self.spans_stored = 0
        self.logs_stored = 0
        self._lag = lag
        self._late: dict[int, float] = {}
        self._log_of_span: dict[str, int] = {}
        self._span_rows = itertools.count(1)
        self._first_id = new_request_id() if first_request_id is None else first_request_id
        self._log_ids = itertools.count(self._first_id)
        self._group_ids = itertools.count(1)

    def add_log(self, content: bytes, *, span_id: str | None = None) -> int:
        """Store a log and return its new id. The same log sent twice becomes two logs, as at PromptLayer.

        Args:
            content: the log as JSON.
            span_id: the span that owns the log. The span itself carries no log, and may come before or after it.
        """
        log_id = self._new_log_id()
        self.storage.put_log(log_id, Payload(content))
        if span_id is not None:
            self._log_of_span[span_id] = log_id
        return log_id

    def add_spans(self, batch: JSON, content: bytes, known_prompts: Collection[str]) -> JSON:
        """Store a batch of spans and return the body of the response.

        Within a batch the first span with an id wins, across batches the last. Spans of closed traces are rejected.
        PromptLayer does not document whether a span that is sent twice makes two logs. Here it does: the worst case.

        Args:
            batch: the parsed body.
            content: the same body as JSON.
            known_prompts: names of the templates in the registry.
        """
        stored: list[JSON] = []
        logs: list[JSON] = []
        rejected: list[tuple[str, str]] = []
        accepted: dict[tuple[str, str], None] = {}
        for place, span in enumerate(batch["spans"]):
            context = span["context"]
            trace_id, span_id = key = context["trace_id"], context["span_id"]
            if self.storage.is_closed(trace_id):
                rejected.append(key)
                continue
            if key in accepted:
                continue
            accepted[key] = None
            log_id = self._new_log_id() if _has_log(span, known_prompts) else None
            row_id = self.storage.row_of(trace_id, span_id) or next(self._span_rows)
            self.storage.put_span(row_id, span, log_id, Payload(content, place))
            self.spans_stored += 1
            stored.append({"id": row_id, "name": span["name"], "span_id": span_id})
            if log_id is not None:
                logs.append({"id": log_id, "span_id": span_id})
        if batch.get("close_after"):
            for trace_id, _ in accepted:
                self.storage.close(trace_id)
        response: JSON = {"success": True, "spans": stored, "request_logs": logs}
        if rejected:
            response |= {
                "rejected_span_ids": [span_id for _, span_id in rejected],
                "rejected_trace_ids": sorted({trace_id for trace_id, _ in rejected}),
                "rejection_reason": "trace_closed",
            }
        return response

    def trace(self, trace_id: str) -> list[JSON]:
        """The spans of a trace, as ``GET /api/public/v2/traces/{trace_id}`` lists them."""
        rows = self.storage.trace(trace_id)
        if not rows:
            raise NotFound(f"Trace {trace_id} not found")
        for row in rows:
            log_id = row["request_log_id"] or self._log_of_span.get(row["span_id"])
            row["request_log_id"] = None if self._is_late(log_id) else log_id
        return rows

    def logs_of_spans(self) -> dict[str, int]:
        """The ids of the logs that came alone, by the span that owns them."""
        return dict(self._log_of_span)

    def is_closed(self, trace_id: str) -> bool:
        """Whether a trace is closed, and rejects further spans."""
        return self.storage.is_closed(trace_id)

    def close(self, trace_id: str) -> bool:
        """Close a trace; False if it was closed before."""
        self.trace(trace_id)
        if self.storage.is_closed(trace_id):
            return False
        self.storage.close(trace_id)
        return True

    def log(self, request_id: int | str) -> JSON:
        """The request log with that id."""
        log = self.storage.log(_number(request_id))
        if log is None:
            raise NotFound(f"Request {request_id} not found")
        return log

    def search(self, query: JSON) -> list[JSON]:
        """The logs that match a query, newest first by default."""
        return find_logs((log for log in self.storage.logs() if not self._is_late(log["id"])), query)

    def score(self, request_id: int | str, name: str, score: int) -> None:
        """Set a named score of a request."""
        self.scores.setdefault(self._check_id(request_id), {})[name] = score

    def add_metadata(self, request_id: int | str, metadata: dict[str, str]) -> None:
        """Add metadata to a request; existing keys are replaced."""
        self.storage.add_metadata(self._check_id(request_id), metadata)

    def link_prompt(self, request_id: int | str, link: JSON) -> None:
        """Link a request to the prompt it was made from."""
        self.prompt_links[self._check_id(request_id)] = link

    def add_group(self) -> int:
        """Create a group and return its id."""
        group_id = next(self._group_ids)
        self.groups[group_id] = []
        return group_id

    def join_group(self, request_id: int | str, group_id: int) -> None:
        """Add a request to a group."""
        log_id = self._check_id(request_id)
        if group_id not in self.groups:
            raise NotFound(f"Group {group_id} not found")
        if log_id not in self.groups[group_id]:
            self.groups[group_id].append(log_id)

    def _new_log_id(self) -> int:
        log_id = next(self._log_ids)
        self.logs_stored += 1
        if self._lag:
            self._late[log_id] = time.monotonic() + self._lag
        return log_id

    def _is_late(self, log_id: int | None) -> bool:
        if log_id not in self._late:
            return False
        if time.monotonic() < self._late[log_id]:
            return True
        del self._late[log_id]
        return False

    def _check_id(self, request_id: int | str) -> int:
        number = _number(request_id)
        if not self._first_id <= number < self._first_id + self.logs_stored:
            raise NotFound(f"Request {request_id} not found")
        return number


def _has_log(span: JSON, known_prompts: Collection[str]) -> bool:
    """Whether a span becomes a log. PromptLayer silently skips a log whose prompt does not exist."""
    request = span.get("log_request")
    if request is None:
        return False
    prompt = request.get("prompt_name")
    return not prompt or prompt in known_prompts


def _number(request_id: int | str) -> int:
    text = str(request_id)
    return int(text) if len(text) < _LONGEST_NUMBER and text.isascii() and text.isdecimal() else 0
