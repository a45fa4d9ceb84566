"""A journal searched for a text, oldest record first, by two threads.

The store looks into one record after the other, outside Python's lock. So it is asked for two stretches of time at
once, which grow from the oldest records on: what is found early costs little, what is found late half.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from plsync._common.native import Row, Store

__all__ = ["oldest_first"]

# Pages grow: the first match is wanted most often, and often no other.
_FIRST_PAGE, _LARGEST_PAGE = 1, 64
# Below that a search takes no time worth a thread.
_SMALL: Final = 500
_STRETCHES: Final = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)


def oldest_first(store: Store, query: dict[str, Any]) -> Iterator[Row]:
    """The rows a query finds.

    Args:
        store: the journal's.
        query: arguments of ``Store.query`` without paging and order.
    """
    whole = {**query, "text": None, "limit": 1}
    ends = [store.query(**whole, oldest_first=oldest) for oldest in (True, False)]
    if not all(ends):
        return
    begin, end = (int.from_bytes(row.id[:6], "big") for [row] in ends)  # ms since the epoch
    if query["text"] is None or store.last_seq() < _SMALL or end - begin < _SMALL:
        yield from _pages(store, query, _page(store, query))
        return
    before = begin
    for share in _STRETCHES:
        until = begin + int((end - begin) * share) + (share == 1)
        middle = (before + until) // 2
        halves = [{**query, "since": since, "until": to} for since, to in ((before, middle), (middle, until))]
        helper = ThreadPoolExecutor(1)
        second = helper.submit(_page, store, halves[1])
        helper.shutdown(wait=False)  # its thread goes when it has searched, also if nobody asks for more
        yield from _pages(store, halves[0], _page(store, halves[0]))
        yield from _pages(store, halves[1], second.result())
        before = until


def _page(store: Store, query: dict[str, Any]) -> list[Row]:
    return store.query(**query, oldest_first=True, limit=_FIRST_PAGE)


def _pages(store: Store, query: dict[str, Any], page: list[Row]) -> Iterator[Row]:
    """A page, and those behind it."""
    size = _FIRST_PAGE
    yield from page
    while len(page) == size:
        size = min(2 * size, _LARGEST_PAGE)
        page = store.query(**query, oldest_first=True, limit=size, after=page[-1].id)
        yield from page
