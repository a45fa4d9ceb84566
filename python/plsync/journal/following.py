"""Records as they come, for :meth:`plsync.Journal.follow`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final
from uuid import UUID

from plsync.journal.filters import Wanted
from plsync.journal.record import Record

if TYPE_CHECKING:
    from plsync._common.native import Store

__all__ = ["coming"]

_PAGE: Final = 100


def coming(
    store: Store, take_in: Callable[[], None], wanted: Wanted, *, after: int, watch: Iterable[Record], poll: float
) -> Iterator[Record]:
    """The records behind ``after``, without end; those that were running once more when they have ended.

    Args:
        store: the journal's.
        take_in: has the store take in what programs have written.
        wanted: which records to give.
        after: the ``seq`` behind which to begin.
        watch: records read before; of these, too, those still running are given again.
        poll: seconds between two looks.
    """
    seq = after
    running = dict.fromkeys(UUID(record.id).bytes for record in watch if record.status == "pending")
    while True:
        seen_before = list(running)
        while rows := store.follow(seq, _PAGE):
            seq = rows[-1].seq
            running |= {row.id: None for row in rows if not row.ended}
            yield from (Record(row) for row in rows if wanted.takes(row))
        for row in filter(None, map(store.get, seen_before)):
            if row.ended:
                del running[row.id]
                yield from [Record(row)] if wanted.takes(row) else []
        time.sleep(poll)
        take_in()
