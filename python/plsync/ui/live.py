"""New and changed records as lines of JSON, as long as the page listens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import StreamingResponse

from plsync.errors import PlsyncError
from plsync.journal.record import Record
from plsync.ui.answers import ApiError, line
from plsync.ui.overview import overview
from plsync.ui.requests import Context
from plsync.ui.rows import Rows
from plsync.ui.selection import Selection

__all__ = ["events"]

_MOST_NEW: Final = 200
_MOST_WATCHED: Final = 200
_POLL: Final = 0.5
# The place of the end in the version of a record, and the end of a running call.
_END: Final = 2
_RUNNING: Final = 0
# Seconds between two looks at the numbers of the journal, and between two signs of life.
_OVERVIEW: Final = 2.0
_PING: Final = 15.0


async def events(request: Request) -> StreamingResponse:
    """``GET /api/events``: new and changed records."""
    context = Context(request, "after", "columns")
    selection = await run_in_threadpool(lambda: context.without("ids"))
    shown = [one for one in context.text("ids").split(",") if one]
    if len(shown) > _MOST_WATCHED:
        raise ApiError(400, "bad_request", f"watch at most {_MOST_WATCHED} ids")
    seq = context.number("after", 0, 0, 1 << 62) if context.text("after") else None
    feed = await run_in_threadpool(lambda: _Feed(context, selection, shown, seq))
    return StreamingResponse(_lines(feed, context), media_type="application/x-ndjson")


async def _lines(feed: _Feed, context: Context) -> AsyncIterator[bytes]:
    yield line({"type": "hello", "seq": feed.seq})
    spoke = time.monotonic()
    while not context.settings.is_stopping():
        try:
            found = await run_in_threadpool(feed.poll)
        except (PlsyncError, OSError) as error:
            yield line({"type": "error", "error": {"code": "journal", "message": str(error)}})
            return
        for event in found:
            yield line(event)
        if found:
            spoke = time.monotonic()
        elif time.monotonic() - spoke > _PING:
            yield line({"type": "ping"})
            spoke = time.monotonic()
        await asyncio.sleep(_POLL)


class _Feed:
    """The state of one listener."""

    def __init__(self, context: Context, selection: Selection, shown: list[str], seq: int | None) -> None:
        self._context = context
        self._selection = selection
        self._queries = context.queries
        self._columns = context.columns
        self.seq = context.journal.last_seq() if seq is None else seq
        self._versions: dict[str, Any] = {}
        for one in shown:
            record = self._queries.peek(one)
            self._versions[one] = None if record is None else record.version()
        self._overview: dict[str, Any] = {}
        self._looked = 0.0

    def poll(self) -> list[dict[str, Any]]:
        """The events since the last poll."""
        is_due = time.monotonic() - self._looked > _OVERVIEW
        found = [*self._new(), *self._changed(everything=is_due)]
        if found or is_due:
            self._looked = time.monotonic()
            found += self._numbers()
        return found

    def _new(self) -> list[dict[str, Any]]:
        last = self._context.journal.last_seq()
        if last == self.seq:
            return []
        # Records that are ingested meanwhile come with the next poll.
        found = self._queries.ingested(self.seq, self._selection, _MOST_NEW + 1)
        found = [record for record in found if record.seq <= last]
        number, self.seq = last - self.seq, last
        if len(found) > _MOST_NEW:
            return [{"type": "more", "count": number, "seq": last}]
        rows = self._context.rows
        # The end of a running call is a change.
        self._versions |= {record.id: record.version() for record in found}
        return [{"type": "new", "call": self._row(rows, record), "seq": record.seq} for record in found]

    def _changed(self, *, everything: bool) -> list[dict[str, Any]]:
        """The records that changed. Running calls are looked at each time, all others with the numbers."""
        events = []
        for one, version in list(self._versions.items()):
            if not everything and version is not None and version[_END] != _RUNNING:
                continue
            record = self._queries.peek(one)
            if record is None or record.version() == version:
                continue
            self._versions[one] = record.version()
            events.append({"type": "changed", "call": self._row(self._context.rows, record)})
        for one in list(self._versions)[: max(0, len(self._versions) - 2 * _MOST_WATCHED)]:
            del self._versions[one]
        return events

    def _numbers(self) -> list[dict[str, Any]]:
        now = {name: value for name, value in overview(self._context).items() if name != "now_ms"}
        changed = {name: value for name, value in now.items() if self._overview.get(name) != value}
        self._overview = now
        return [{"type": "journal", **changed}] if changed else []

    def _row(self, rows: Rows, record: Record) -> dict[str, Any]:
        return rows.row(record, self._columns)
