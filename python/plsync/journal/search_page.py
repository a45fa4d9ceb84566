"""Pages of records that end in time: :meth:`plsync.Journal.page`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from plsync.journal.plan import Plan
from plsync.journal.record import Record

if TYPE_CHECKING:
    from plsync._common.native import Store

__all__ = ["ORDERS", "Order", "Page", "matching_numbers", "read_page"]

Order = Literal["time", "took", "tokens", "first_token"]
ORDERS: Final[tuple[Order, ...]] = get_args(Order)
_ROWS: Final = 200
# A search without a budget returns this often, in ms, so that Ctrl-C ends it.
_SLICE_MS: Final = 500


@dataclass(frozen=True, slots=True)
class Page:
    """A page of records."""

    records: list[Record]
    cursor: str | None
    """The place where the next page begins; None behind the last record."""
    searched: int
    """The records that were searched for this page and the pages before it."""
    total: int
    """The records to search: the records that pass the filters which need no content."""
    is_done: bool
    """False: the time was over before the page was full. The next page goes on."""


def read_page(store: Store, plan: Plan, order: Order, cursor: str | None, **options: Any) -> Page:
    """One page.

    Args:
        store: the journal's.
        plan: the filters.
        order: the order.
        cursor: the cursor of the page before; None for the first page.
        options: ``limit``, ``ascending`` and ``budget_ms``.

    Raises:
        ValueError: there is no such order, or the cursor belongs to another order.
    """
    if order not in ORDERS:
        raise ValueError(f"{order!r} is not an order: use {', '.join(ORDERS)}")
    try:
        if order == "time":
            return _by_time(store, plan, None if cursor is None else _parsed(cursor, "time"), **options)
        return _by_figure(store, plan, order, None if cursor is None else _parsed(cursor, order), **options)
    except _WrongCursor:
        raise ValueError(f"{cursor!r} is not a cursor of a page in the order {order}") from None


class _WrongCursor(Exception):
    """The text is no cursor."""


def _parsed(cursor: str, order: str) -> tuple[str, int, int]:
    parts = cursor.split(":")
    if len(parts) != 4 or parts[0] != order or not all(part.isascii() and part.isdecimal() for part in parts[2:]):
        raise _WrongCursor
    return parts[1], int(parts[2]), int(parts[3])


def _by_time(
    store: Store, plan: Plan, begin: tuple[str, int, int] | None, *, limit: int, ascending: bool, budget_ms: int
) -> Page:
    arguments = dict(plan.arguments)
    searched = 0
    if begin is None:
        total = _to_search(store, plan)
    else:
        place, searched, total = begin
        try:
            arguments["after" if ascending else "before"] = bytes.fromhex(place)
        except ValueError:
            raise _WrongCursor from None
        if len(place) != 32:
            raise _WrongCursor
    rows, last, more = store.search(budget_ms, **arguments, oldest_first=ascending, limit=limit)
    searched += more
    records = [Record(row) for row in rows if plan.passes(row)]
    cursor = None if last is None else f"time:{last.hex()}:{searched}:{total}"
    return Page(records, cursor, searched, max(total, searched), last is None or len(rows) >= limit)


def _to_search(store: Store, plan: Plan) -> int:
    without = {**plan.arguments, "text": None, "start_texts": None, "min_elapsed": None}
    return store.count(store.last_seq() + 1, **without) or 0


def _by_figure(
    store: Store,
    plan: Plan,
    order: Order,
    begin: tuple[str, int, int] | None,
    *,
    limit: int,
    ascending: bool,
    budget_ms: int,
) -> Page:
    only, is_partial, searched = matching_numbers(store, plan, budget_ms)
    arguments = plan.arguments if only is None else {**plan.arguments, "text": None, "start_texts": None}
    beyond = None
    if begin is not None:
        if not begin[0].isdecimal():
            raise _WrongCursor
        beyond = (int(begin[0]), begin[1])
    found = store.ordered(order, smallest_first=ascending, beyond=beyond, only=only, limit=limit, **arguments)
    records = [Record(row) for _, row in found]
    total = _to_search(store, plan) if begin is None else begin[2]
    cursor = f"{order}:{found[-1][0]}:{found[-1][1].seq}:{total}" if len(found) == limit else None
    return Page(records, cursor, searched if only is not None else total, total, not is_partial)


def matching_numbers(store: Store, plan: Plan, budget_ms: int | None) -> tuple[list[int] | None, bool, int]:
    """The ``seq`` of the records that pass conditions on content, found newest first within a budget.

    Returns:
        The numbers, whether the budget ended before all records were searched, and how many were searched. None in
        place of the numbers: the plan has no such condition.
    """
    if not plan.reads_content:
        return None, False, 0
    arguments, found, searched = dict(plan.arguments), [], 0
    deadline = None if budget_ms is None else time.monotonic() + budget_ms / 1000
    while True:
        left_ms = _SLICE_MS if deadline is None else max(0, int((deadline - time.monotonic()) * 1000))
        rows, last, more = store.search(left_ms, **arguments, limit=_ROWS)
        searched += more
        found += [row.seq for row in rows if plan.passes(row)]
        if last is None:
            return found, False, searched
        if deadline is not None and time.monotonic() >= deadline:
            return found, True, searched
        arguments["before"] = last
