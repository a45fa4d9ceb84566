"""A search of the content, which returns each hit at once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from starlette.requests import Request
from starlette.responses import StreamingResponse

from plsync.ui.answers import line
from plsync.ui.requests import Context
from plsync.ui.selection import Selection

__all__ = ["search"]


def search(request: Request) -> StreamingResponse:
    """``GET /api/search``: hits, and how far the search has come."""
    context = Context(request, "limit", "before", "columns")
    limit = context.number("limit", 50, 1, 1000)
    found = _hits(context, context.selection, limit, context.text("before") or None)
    return StreamingResponse(map(line, found), media_type="application/x-ndjson")


def _hits(context: Context, selection: Selection, limit: int, cursor: str | None) -> Iterator[dict[str, Any]]:
    rows, columns = context.rows, context.columns
    left, searched = limit, 0
    while not context.settings.is_stopping():
        page = context.queries.page(selection, limit=left, cursor=cursor)
        cursor = page.cursor
        searched += page.searched
        left -= len(page.records)
        for record in page.records:
            yield {"type": "hit", "call": rows.row(record, columns)}
        if left <= 0 or cursor is None:
            break
        yield {"type": "progress", "searched": searched, "total": page.total}
    yield {"type": "end", "complete": cursor is None, "next": cursor}
