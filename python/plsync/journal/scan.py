"""Searches a journal for a text, oldest record first, with two threads.

The store reads one record after the other, without the GIL. So two spans of time are searched at once. The spans grow
from the oldest record on: an early match costs little, and a late match costs half of a search in one thread.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from plsync.journal.pages import is_last

if TYPE_CHECKING:
    from plsync._common.native import Row, Store

__all__ = ["oldest_first"]

# Pages grow, because most searches end at the first match.
_FIRST_PAGE, _LARGEST_PAGE = 1, 64
# A smaller journal, or a shorter span in ms, is searched by one thread.
_SMALL: Final = 500
_SPANS: Final = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)


def oldest_first(store: Store, query: dict[str, Any]) -> Iterator[Row]:
    """The rows of a query.

    Args:
        store: the journal's.
        query: arguments of ``Store.query`` without paging and order.
    """
    whole = {**query, "text": None, "start_texts": None, "min_elapsed": None, "limit": 1}
    ends = [store.query(**whole, oldest_first=oldest) for oldest in (True, False)]
    if not all(ends):
        return
    begin, end = (int.from_bytes(row.id[:6], "big") for [row] in ends)  # ms since the epoch
    if query["text"] is None or store.last_seq() < _SMALL or end - begin < _SMALL:
        yield from _pages(store, query, _page(store, query))
        return
    before = begin
    for share in _SPANS:
        until = begin + int((end - begin) * share) + (share == 1)
        middle = (before + until) // 2
        halves = [{**query, "since": since, "until": to} for since, to in ((before, middle), (middle, until))]
        helper = ThreadPoolExecutor(1)
        second = helper.submit(_page, store, halves[1])
        helper.shutdown(wait=False)  # its thread ends after the search, also when the caller stops early
        yield from _pages(store, halves[0], _page(store, halves[0]))
        yield from _pages(store, halves[1], second.result())
        before = until


def _page(store: Store, query: dict[str, Any]) -> list[Row]:
    return store.query(**query, oldest_first=True, limit=_FIRST_PAGE)


def _pages(store: Store, query: dict[str, Any], page: list[Row]) -> Iterator[Row]:
    """A page, and the pages behind it."""
    size = _FIRST_PAGE
    yield from page
    while not is_last(page, size):
        size = min(2 * size, _LARGEST_PAGE)
        page = store.query(**query, oldest_first=True, limit=size, after=page[-1].id)
        yield from page
