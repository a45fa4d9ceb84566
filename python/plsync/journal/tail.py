"""Follows a journal: records in the order of their arrival, without end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Final
from uuid import UUID

from plsync.journal.filters import Query
from plsync.journal.record import Record

if TYPE_CHECKING:
    from plsync._common.native import Store

__all__ = ["follow"]

_PAGE: Final = 100


def follow(
    store: Store, ingest: Callable[[], None], query: Query, *, after: int, watch: Iterable[Record], poll: float
) -> Iterator[Record]:
    """The records behind ``after``, without end. A record whose call runs is yielded again when the call ends.

    Args:
        store: the store of the journal.
        ingest: moves recent events from the spool into the store. Called after each pause.
        query: which records to return.
        after: the ``seq`` behind which to begin.
        watch: records already read whose calls were still running; each is yielded once more when its call ends.
        poll: seconds between two polls.
    """
    seq = after
    running = dict.fromkeys(UUID(record.id).bytes for record in watch if record.status == "pending")
    while True:
        known = list(running)
        while rows := store.follow(seq, _PAGE):
            seq = rows[-1].seq
            running |= {row.id: None for row in rows if not row.ended}
            yield from (Record(row) for row in rows if query.matches(row))
        for row in filter(None, map(store.get, known)):
            if row.ended:
                del running[row.id]
                yield from [Record(row)] if query.matches(row) else []
        time.sleep(poll)
        ingest()
