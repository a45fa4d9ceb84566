"""What PromptLayer keeps for one workspace: traces, request logs and what is attached to them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Collection

from plsync.testing.state.keeping import JSON, Kept, KeptWhole, Sent
from plsync.testing.state.search import find

__all__ = ["JSON", "NotFound", "Workspace"]

FIRST_REQUEST_ID = 1001


class NotFound(Exception):
    """There is no such thing in the workspace."""


class Workspace:
    """Traces, logs, scores, links and groups, in memory. Not thread-safe: the server holds a lock around it.

    Args:
        kept: how spans and logs are kept.
        lag: seconds before a log shows in its trace and in searches. PromptLayer does not say
            how long that takes; its SDK polls for five seconds.
    """

    def __init__(self, kept: Kept | None = None, lag: float = 0.0) -> None:
        """Start empty."""
        self.kept: Kept = KeptWhole() if kept is None else kept
        self.scores: dict[int, dict[str, int]] = {}
        self.prompt_links: dict[int, JSON] = {}
        self.groups: dict[int, list[int]] = {}
        self.spans_stored = 0
        self.logs_stored = 0
        self._lag = lag
        self._late: dict[int, float] = {}
        self._log_of_span: dict[str, int] = {}
        self._span_rows = itertools.count(1)
        self._log_ids = itertools.count(FIRST_REQUEST_ID)
        self._group_ids = itertools.count(1)

    def add_log(self, content: bytes, *, span_id: str | None = None) -> int:
        """Store a log, given as JSON, and give it an id. Sent again, it is another log, as at PromptLayer.

        ``span_id``: of a span that came, or will come, without a log, and has this one.
        """
        log_id = self._new_log_id()
        self.kept.put_log(log_id, Sent(content))
        if span_id is not None:
            self._log_of_span[span_id] = log_id
        return log_id

    def add_spans(self, batch: JSON, content: bytes, known_prompts: Collection[str]) -> JSON:
        """Store a batch: first of a span id within it wins, last across batches; closed traces are refused.

        ``content``: the JSON that ``batch`` was parsed from.

        PromptLayer does not say whether a span that comes twice makes its log twice. Here it does: the worst case.
        """
        stored: list[JSON] = []
        logs: list[JSON] = []
        rejected: list[tuple[str, str]] = []
        seen: dict[tuple[str, str], None] = {}
        for place, span in enumerate(batch["spans"]):
            context = span["context"]
            trace_id, span_id = key = context["trace_id"], context["span_id"]
            if self.kept.is_closed(trace_id):
                rejected.append(key)
                continue
            if key in seen:
                continue
            seen[key] = None
            log_id = self._new_log_id() if _makes_a_log(span, known_prompts) else None
            row_id = self.kept.row_of(trace_id, span_id) or next(self._span_rows)
            self.kept.put_span(row_id, span, log_id, Sent(content, place))
            self.spans_stored += 1
            stored.append({"id": row_id, "name": span["name"], "span_id": span_id})
            if log_id is not None:
                logs.append({"id": log_id, "span_id": span_id})
        if batch.get("close_after"):
            for trace_id, _ in seen:
                self.kept.close(trace_id)
        answer: JSON = {"success": True, "spans": stored, "request_logs": logs}
        if rejected:
            answer |= {
                "rejected_span_ids": [span_id for _, span_id in rejected],
                "rejected_trace_ids": sorted({trace_id for trace_id, _ in rejected}),
                "rejection_reason": "trace_closed",
            }
        return answer

    def trace(self, trace_id: str) -> list[JSON]:
        """The spans of a trace, as ``GET /api/public/v2/traces/{trace_id}`` lists them."""
        rows = self.kept.trace(trace_id)
        if not rows:
            raise NotFound(f"Trace {trace_id} not found")
        for row in rows:
            log_id = row["request_log_id"] or self._log_of_span.get(row["span_id"])
            row["request_log_id"] = None if self._is_late(log_id) else log_id
        return rows

    def is_closed(self, trace_id: str) -> bool:
        """Whether a trace takes no more spans."""
        return self.kept.is_closed(trace_id)

    def close(self, trace_id: str) -> bool:
        """Let a trace take no more spans; False when it takes none already."""
        self.trace(trace_id)
        if self.kept.is_closed(trace_id):
            return False
        self.kept.close(trace_id)
        return True

    def log(self, request_id: int | str) -> JSON:
        """The request log with that id."""
        log = self.kept.log(_number(request_id))
        if log is None:
            raise NotFound(f"Request {request_id} not found")
        return log

    def search(self, query: JSON) -> list[JSON]:
        """Logs that match, newest first unless the query says otherwise."""
        return find((log for log in self.kept.logs() if not self._is_late(log["id"])), query)

    def score(self, request_id: int | str, name: str, score: int) -> None:
        """Set a score of a request."""
        self.scores.setdefault(self._known(request_id), {})[name] = score

    def add_metadata(self, request_id: int | str, metadata: dict[str, str]) -> None:
        """Add metadata to a request; keys that are there are replaced."""
        self.kept.add_metadata(self._known(request_id), metadata)

    def link_prompt(self, request_id: int | str, link: JSON) -> None:
        """Say which prompt a request came from."""
        self.prompt_links[self._known(request_id)] = link

    def add_group(self) -> int:
        """A new group's id."""
        group_id = next(self._group_ids)
        self.groups[group_id] = []
        return group_id

    def join_group(self, request_id: int | str, group_id: int) -> None:
        """Put a request into a group."""
        log_id = self._known(request_id)
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

    def _known(self, request_id: int | str) -> int:
        number = _number(request_id)
        if not FIRST_REQUEST_ID <= number < FIRST_REQUEST_ID + self.logs_stored:
            raise NotFound(f"Request {request_id} not found")
        return number


def _makes_a_log(span: JSON, known_prompts: Collection[str]) -> bool:
    """PromptLayer skips a log, silently, when the prompt it names does not exist."""
    request = span.get("log_request")
    if request is None:
        return False
    prompt = request.get("prompt_name")
    return not prompt or prompt in known_prompts


def _number(request_id: int | str) -> int:
    text = str(request_id)
    return int(text) if text.isascii() and text.isdecimal() else 0
