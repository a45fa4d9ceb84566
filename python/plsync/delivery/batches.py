"""Which records go out in one request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from plsync.journal.record import Record

__all__ = ["batches"]


def batches(records: Sequence[Record], most: int, most_bytes: int) -> Iterator[list[Record]]:
    """Batches of up to ``most`` records and about ``most_bytes`` bytes of events, each in the journal's order.

    Records of a lane that keeps its order share a batch: two requests at once may be stored either way round. They
    are no more than ``most``, nor much more than ``most_bytes``: no more of a lane is leased at once.
    """
    batch: list[Record] = []
    size = 0
    for lane, group in groupby(
        sorted(records, key=lambda record: (record.lane, record.seq)), lambda record: record.lane
    ):
        for part in [[record] for record in group] if lane == 0 else [list(group)]:
            part_size = sum(record.size for record in part)
            if batch and (len(batch) + len(part) > most or size + part_size > most_bytes):
                yield sorted(batch, key=lambda record: record.seq)
                batch, size = [], 0
            batch += part
            size += part_size
    if batch:
        yield sorted(batch, key=lambda record: record.seq)
