"""Stores spans and logs: in full, or as ids alone for millions of records."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import orjson

__all__ = ["JSON", "FullStorage", "IdStorage", "Payload", "Storage"]

JSON = dict[str, Any]


class Payload(NamedTuple):
    """The body of a request, and the index of a span in it; the index is ``None`` for a log."""

    content: bytes
    place: int | None = None


class Storage(Protocol):
    """Spans by trace, and logs by id."""

    def put_span(self, row_id: int, span: JSON, log_id: int | None, payload: Payload) -> None:
        """Store a span and its log; replaces a span with the same ids."""

    def put_log(self, log_id: int, payload: Payload) -> None:
        """Store a log that came without a span."""

    def row_of(self, trace_id: str, span_id: str) -> int | None:
        """The row number of a span, or None."""

    def trace(self, trace_id: str) -> list[JSON]:
        """Summaries of the spans of a trace; empty if there is no such trace."""

    def is_closed(self, trace_id: str) -> bool:
        """Whether a trace is closed."""

    def close(self, trace_id: str) -> None:
        """Close a trace: it rejects further spans."""

    def closed(self) -> Iterator[str]:
        """The ids of closed traces."""

    def spans(self) -> Iterator[JSON]:
        """Every span at this moment; the caller may read it without the lock."""

    def log(self, log_id: int) -> JSON | None:
        """One log, or None."""

    def logs(self) -> Iterator[JSON]:
        """Every log at this moment, oldest first; the caller may read it without the lock."""

    def add_metadata(self, log_id: int, metadata: dict[str, str]) -> None:
        """Add to the metadata of a log."""


class _Row(NamedTuple):
    row_id: int
    log_id: int | None
    payload: Payload


class FullStorage:
    """Stores spans and logs in full, as received bytes.

    Parsed objects would take five times the memory. Python's garbage collector would also traverse them again and
    again, which costs more than all other work of the stand-in.
    """

    def __init__(self) -> None:
        self._traces: dict[str, dict[str, _Row]] = {}
        self._logs: dict[int, Payload] = {}
        self._metadata: dict[int, dict[str, str]] = {}
        self._closed: set[str] = set()

    def put_span(self, row_id: int, span: JSON, log_id: int | None, payload: Payload) -> None:
        """Store a span and its log; replaces a span with the same ids."""
        trace_id, span_id = span["context"]["trace_id"], span["context"]["span_id"]
        rows = self._traces.setdefault(trace_id, {})
        rows.pop(span_id, None)  # a span that is sent again is the newest of its trace
        rows[span_id] = _Row(row_id, log_id, payload)
        if log_id is not None:
            self._logs[log_id] = payload

    def put_log(self, log_id: int, payload: Payload) -> None:
        """Store a log that came without a span."""
        self._logs[log_id] = payload

    def row_of(self, trace_id: str, span_id: str) -> int | None:
        """The row number of a span, or None."""
        row = self._traces.get(trace_id, {}).get(span_id)
        return None if row is None else row.row_id

    def trace(self, trace_id: str) -> list[JSON]:
        """Summaries of the spans of a trace; empty if there is no such trace."""
        rows = self._traces.get(trace_id, {})
        return [_summary(row.row_id, span_id, row.log_id, _parse(row.payload)) for span_id, row in rows.items()]

    def is_closed(self, trace_id: str) -> bool:
        """Whether a trace is closed."""
        return trace_id in self._closed

    def close(self, trace_id: str) -> None:
        """Close a trace: it rejects further spans."""
        self._closed.add(trace_id)

    def closed(self) -> Iterator[str]:
        """The ids of closed traces."""
        return iter(self._closed)

    def spans(self) -> Iterator[JSON]:
        """Every span as received, with its row ``id``, ``span_id``, ``trace_id`` and ``request_log_id``."""
        return (
            {
                **_parse(row.payload),
                "id": row.row_id,
                "span_id": span_id,
                "trace_id": trace_id,
                "request_log_id": row.log_id,
            }
            for trace_id, rows in [(trace_id, list(rows.items())) for trace_id, rows in self._traces.items()]
            for span_id, row in rows
        )

    def log(self, log_id: int) -> JSON | None:
        """One log, or None."""
        payload = self._logs.get(log_id)
        return None if payload is None else self._full_log(log_id, payload)

    def logs(self) -> Iterator[JSON]:
        """Every log as received, with its ``id``, ``span_id`` and ``trace_id``."""
        return (self._full_log(log_id, payload) for log_id, payload in list(self._logs.items()))

    def add_metadata(self, log_id: int, metadata: dict[str, str]) -> None:
        """Add to the metadata of a log."""
        self._metadata.setdefault(log_id, {}).update(metadata)

    def _full_log(self, log_id: int, payload: Payload) -> JSON:
        parsed = _parse(payload)
        log, context = (parsed, {}) if payload.place is None else (parsed["log_request"], parsed["context"])
        metadata = {**(log.get("metadata") or {}), **self._metadata.get(log_id, {})}
        ids = {"id": log_id, "span_id": context.get("span_id"), "trace_id": context.get("trace_id")}
        return {**log, **ids, "metadata": metadata}


class IdStorage:
    """Stores ids alone, about 250 bytes a span. Logs have no content; logs without a span are only counted."""

    _ROW = struct.Struct("<QQI")
    _OPEN, _CLOSED = b"\0", b"\1"

    def __init__(self) -> None:
        # One bytes object per trace: Python objects for each number would take most of the memory. The first byte is 1
        # if the trace is closed. Each span follows, in order of arrival: its row, its log (0: no log), the length of
        # its id, its id.
        self._traces: dict[str, bytes] = {}

    def put_span(self, row_id: int, span: JSON, log_id: int | None, payload: Payload) -> None:
        """Store a span's ids. A span that is sent twice is stored twice, with the same row."""
        context = span["context"]
        trace_id, span_id = context["trace_id"], context["span_id"].encode()
        packed = self._ROW.pack(row_id, log_id or 0, len(span_id)) + span_id
        self._traces[trace_id] = self._traces.get(trace_id, self._OPEN) + packed

    def put_log(self, log_id: int, payload: Payload) -> None:
        """Do nothing: only the workspace counts logs without a span."""

    def row_of(self, trace_id: str, span_id: str) -> int | None:
        """The row number of a span, or None."""
        if trace_id not in self._traces:
            return None
        return next((row for row, _, found in self._rows(trace_id) if found == span_id), None)

    def trace(self, trace_id: str) -> list[JSON]:
        """The ids of the spans of a trace."""
        newest = {span: (row, log) for row, log, span in self._rows(trace_id)}
        return [_summary(row, span, log or None, {}) for span, (row, log) in newest.items()]

    def is_closed(self, trace_id: str) -> bool:
        """Whether a trace is closed."""
        return self._traces.get(trace_id, self._OPEN)[:1] == self._CLOSED

    def close(self, trace_id: str) -> None:
        """Close a trace: it rejects further spans."""
        self._traces[trace_id] = self._CLOSED + self._traces[trace_id][1:]

    def closed(self) -> Iterator[str]:
        """The ids of closed traces."""
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
        """The ids of one log, or None; scans every trace."""
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
        """Do nothing: this storage keeps no metadata."""

    def _rows(self, trace_id: str) -> Iterator[tuple[int, int, str]]:
        packed = self._traces.get(trace_id, self._OPEN)
        at = 1
        while at < len(packed):
            row, log, length = self._ROW.unpack_from(packed, at)
            at += self._ROW.size
            yield row, log, packed[at : at + length].decode()
            at += length


@lru_cache(maxsize=4)
def _load(content: bytes) -> Any:
    """Parse a body. Spans are listed in order of arrival, so consecutive calls parse the same few batches."""
    return orjson.loads(content)


def _parse(payload: Payload) -> JSON:
    body: JSON = _load(payload.content)
    if payload.place is None:
        return body
    span: JSON = body["spans"][payload.place]
    return span


def _summary(row_id: int, span_id: str, log_id: int | None, span: JSON) -> JSON:
    fields = {key: span.get(key) for key in ("name", "parent_id", "start_time", "end_time")}
    return {"id": row_id, "span_id": span_id, "request_log_id": log_id, **fields}
