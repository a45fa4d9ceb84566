"""The routes of the list: calls, their number, facets, and the chart."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from plsync.ui.answers import answer
from plsync.ui.requests import Context

__all__ = ["calls", "count", "facets", "histogram"]

_LONGEST_PAGE = 200


def calls(request: Request) -> Response:
    """``GET /api/calls``: a page of rows."""
    context = Context(request, "limit", "before", "sort", "order", "columns")
    limit = context.number("limit", 50, 1, _LONGEST_PAGE)
    page = context.queries.page(context.selection, limit=limit, cursor=context.text("before") or None)
    rows, columns = context.rows, context.columns
    found: dict[str, Any] = {
        "calls": [rows.row(record, columns) for record in page.records],
        "next": page.cursor,
        "complete": page.is_done,
        "searched": page.searched,
    }
    return answer(found)


def count(request: Request) -> Response:
    """``GET /api/count``: how many records there are."""
    context = Context(request)
    number, is_exact = context.queries.count(context.selection)
    return answer({"count": number, "exact": is_exact})


def facets(request: Request) -> Response:
    """``GET /api/facets``: the values of each filter, and how many records have each."""
    context = Context(request)
    return answer(context.queries.facets(context.selection, context.without))


def histogram(request: Request) -> Response:
    """``GET /api/histogram``: calls and errors over time."""
    context = Context(request, "buckets")
    return answer(context.queries.histogram(context.selection, context.number("buckets", 60, 1, 500)))
