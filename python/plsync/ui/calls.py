"""The routes of the list: calls, their number, facets, the chart, and sums."""

from __future__ import annotations

from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response

from plsync.journal.search_page import ORDERS, Order
from plsync.ui import sums
from plsync.ui.answers import answer
from plsync.ui.requests import Context

__all__ = ["calls", "count", "facets", "histogram", "usage"]

_LONGEST_PAGE = 200


def calls(request: Request) -> Response:
    """``GET /api/calls``: a page of rows."""
    context = Context(request, "limit", "before", "sort", "order", "columns")
    limit = context.number("limit", 50, 1, _LONGEST_PAGE)
    order = cast("Order", context.choice("sort", *ORDERS))
    ascending = context.choice("order", "desc", "asc") == "asc"
    cursor = context.text("before") or None
    page = context.queries.page(context.selection, limit=limit, cursor=cursor, order=order, ascending=ascending)
    rows, columns = context.rows, context.columns
    found: dict[str, Any] = {
        "calls": [rows.row(record, columns) for record in page.records],
        "next": page.cursor,
        "complete": page.is_done,
        "searched": page.searched,
        "total": page.total,
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
    return answer(sums.facets(context.queries, context.selection, context.without))


def histogram(request: Request) -> Response:
    """``GET /api/histogram``: calls and errors over time."""
    context = Context(request, "buckets")
    return answer(sums.histogram(context.queries, context.selection, context.number("buckets", 60, 1, 500)))


def usage(request: Request) -> Response:
    """``GET /api/usage``: sums of calls, tokens, durations and costs, by a kind and over time."""
    context = Context(request, "by", "step")
    by = cast("sums.Kind", context.choice("by", *sums.USAGE_KINDS))
    step = context.choice("step", "auto", "day", "hour")
    return answer(sums.usage(context.queries, context.selection, by, step, context.settings.prices))
