"""How the stand-in keeps spans and logs: whole, or, for millions of them, their ids alone."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import orjson

__all__ = ["JSON", "Kept", "KeptIds", "KeptWhole", "Sent"]

JSON = dict[str, Any]


class Sent(NamedTuple):
    """A span or log as it came: the request's body, and the place of the span in it (None: the body is a log)."""

    content: bytes
    place: int | None = None


class Kept(Protocol):
    """Spans by trace, and logs."""

    def put_span(self, row_id: int, span: JSON, log_id: int | None, sent: Sent) -> None:
        """Store a span, in place of one with the same ids, and its log."""

    def put_log(self, log_id: int, sent: Sent) -> None:
        """Store a log that came alone."""

    def row_of(self, trace_id: str, span_id: str) -> int | None:
        """The number of a span, if it is there."""

    def trace(self, trace_id: str) -> list[JSON]:
        """The spans of a trace in short; none when there is no such trace."""

    def is_closed(self, trace_id: str) -> bool:
        """Whether a trace takes no more spans."""

    def close(self, trace_id: str) -> None:
        """Let a trace take no more spans."""

    def closed(self) -> Iterator[str]:
        """The traces that take no more."""

    def spans(self) -> Iterator[JSON]:
        """Every span there is now; it may be read without the lock."""

    def log(self, log_id: int) -> JSON | None:
        """One log."""

    def logs(self) -> Iterator[JSON]:
        """Every log there is now, oldest first; it may be read without the lock."""

    def add_metadata(self, log_id: int, metadata: dict[str, str]) -> None:
        """Add to the metadata of a log."""


class _Row(NamedTuple):
    row_id: int
    span_id: str
    log_id: int | None
    sent: Sent


class KeptWhole:
    """Everything as it was sent.

    Kept as the bytes that came: parsed, they take five times the memory, and Python's garbage collector goes through
    all of it again and again, which costs more than everything else the stand-in does.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._traces: dict[str, tuple[_Row, ...]] = {}
        self._logs: dict[int, Sent] = {}
        self._added: dict[int, dict[str, str]] = {}
        self._closed: set[str] = set()

    def put_span(self, row_id: int, span: JSON, log_id: int | None, sent: Sent) -> None:
        """Store a span, in place of one with the same ids, and its log."""
        trace_id, span_id = span["context"]["trace_id"], span["context"]["span_id"]
        others = tuple(row for row in self._traces.get(trace_id, ()) if row.row_id != row_id)
        self._traces[trace_id] = (*others, _Row(row_id, span_id, log_id, sent))
        if log_id is not None:
            self._logs[log_id] = sent

    def put_log(self, log_id: int, sent: Sent) -> None:
        """Store a log that came alone."""
        self._logs[log_id] = sent

    def row_of(self, trace_id: str, span_id: str) -> int | None:
        """The number of a span, if it is there."""
        return next((row.row_id for row in self._traces.get(trace_id, ()) if row.span_id == span_id), None)

    def trace(self, trace_id: str) -> list[JSON]:
        """The spans of a trace in short."""
        rows = self._traces.get(trace_id, ())
        return [_short(row.row_id, row.span_id, row.log_id, _parsed(row.sent)) for row in rows]

    def is_closed(self, trace_id: str) -> bool:
        """Whether a trace takes no more spans."""
        return trace_id in self._closed

    def close(self, trace_id: str) -> None:
        """Let a trace take no more spans."""
        self._closed.add(trace_id)

    def closed(self) -> Iterator[str]:
        """The traces that take no more."""
        return iter(self._closed)

    def spans(self) -> Iterator[JSON]:
        """Every span as sent, with its row ``id``, its ids and ``request_log_id``."""
        return (
            {
                **_parsed(row.sent),
                "id": row.row_id,
                "span_id": row.span_id,
                "trace_id": trace_id,
                "request_log_id": row.log_id,
            }
            for trace_id, rows in list(self._traces.items())
            for row in rows
        )

    def log(self, log_id: int) -> JSON | None:
        """One log."""
        sent = self._logs.get(log_id)
        return None if sent is None else self._whole(log_id, sent)

    def logs(self) -> Iterator[JSON]:
        """Every log as sent, with its ``id``, ``span_id`` and ``trace_id``."""
        return (self._whole(log_id, sent) for log_id, sent in list(self._logs.items()))

    def add_metadata(self, log_id: int, metadata: dict[str, str]) -> None:
        """Add to the metadata of a log."""
        self._added.setdefault(log_id, {}).update(metadata)

    def _whole(self, log_id: int, sent: Sent) -> JSON:
        parsed = _parsed(sent)
        log, context = (parsed, {}) if sent.place is None else (parsed["log_request"], parsed["context"])
        metadata = {**(log.get("metadata") or {}), **self._added.get(log_id, {})}
        ids = {"id": log_id, "span_id": context.get("span_id"), "trace_id": context.get("trace_id")}
        return {**log, **ids, "metadata": metadata}


class KeptIds:
    """Ids alone: about 250 bytes a span. Logs have no content, and those without a span are only counted."""

    _ROW = struct.Struct("<QQI")
    _OPEN, _CLOSED = b"\0", b"\1"

    def __init__(self) -> None:
        """Start empty."""
        # One bytes object a trace, since Python objects for each number would be most of the memory: whether it is
        # closed, then for each span, in the order they came, its row, its log (0: none), the length of its id, its id.
        self._traces: dict[str, bytes] = {}

    def put_span(self, row_id: int, span: JSON, log_id: int | None, sent: Sent) -> None:
        """Store a span's ids; one that comes again is there twice, with the same row."""
        context = span["context"]
        trace_id, span_id = context["trace_id"], context["span_id"].encode()
        packed = self._ROW.pack(row_id, log_id or 0, len(span_id)) + span_id
        self._traces[trace_id] = self._traces.get(trace_id, self._OPEN) + packed

    def put_log(self, log_id: int, sent: Sent) -> None:
        """Nothing is kept of it."""

    def row_of(self, trace_id: str, span_id: str) -> int | None:
        """The number of a span, if it is there."""
        if trace_id not in self._traces:
            return None
        return next((row for row, _, found in self._rows(trace_id) if found == span_id), None)

    def trace(self, trace_id: str) -> list[JSON]:
        """The ids of the spans of a trace."""
        newest = {span: (row, log) for row, log, span in self._rows(trace_id)}
        return [_short(row, span, log or None, {}) for span, (row, log) in newest.items()]

    def is_closed(self, trace_id: str) -> bool:
        """Whether a trace takes no more spans."""
        return self._traces.get(trace_id, self._OPEN)[:1] == self._CLOSED

    def close(self, trace_id: str) -> None:
        """Let a trace take no more spans."""
        self._traces[trace_id] = self._CLOSED + self._traces[trace_id][1:]

    def closed(self) -> Iterator[str]:
        """The traces that take no more."""
        return (trace_id for trace_id in self._traces if self.is_closed(trace_id))

    def spans(self) -> Iterator[JSON]:
        """The ids of every span."""
        return (
            {
                "id": span["id"],
                "span_id": span["span_id"],
                "trace_id": trace_id,
                "request_log_id": span["request_log_id"],
            }
            for trace_id in list(self._traces)
            for span in self.trace(trace_id)
        )

    def log(self, log_id: int) -> JSON | None:
        """One log's ids, found by looking at all."""
        return next((log for log in self.logs() if log["id"] == log_id), None)

    def logs(self) -> Iterator[JSON]:
        """The ids of every log that came with a span."""
        return (
            {"id": log, "span_id": span, "trace_id": trace_id, "metadata": {}}
            for trace_id in list(self._traces)
            for _, log, span in self._rows(trace_id)
            if log
        )

    def add_metadata(self, log_id: int, metadata: dict[str, str]) -> None:
        """Nothing is kept of it."""

    def _rows(self, trace_id: str) -> Iterator[tuple[int, int, str]]:
        packed = self._traces.get(trace_id, self._OPEN)
        at = 1
        while at < len(packed):
            row, log, length = self._ROW.unpack_from(packed, at)
            at += self._ROW.size
            yield row, log, packed[at : at + length].decode()
            at += length


@lru_cache(maxsize=4)
def _loaded(content: bytes) -> Any:
    """The same few batches are asked for again and again: spans are listed in the order they came."""
    return orjson.loads(content)


def _parsed(sent: Sent) -> JSON:
    body: JSON = _loaded(sent.content)
    if sent.place is None:
        return body
    span: JSON = body["spans"][sent.place]
    return span


def _short(row_id: int, span_id: str, log_id: int | None, span: JSON) -> JSON:
    listed = {key: span.get(key) for key in ("name", "parent_id", "start_time", "end_time")}
    return {"id": row_id, "span_id": span_id, "request_log_id": log_id, **listed}
