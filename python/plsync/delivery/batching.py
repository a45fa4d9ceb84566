"""Which records share a request: the size of batches, the order of lanes, and the isolation of poison records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, TypeVar

from plsync.promptlayer.outcomes import Ambiguous, Delivered, Outcome, Refused

if TYPE_CHECKING:
    from plsync.journal.record import Record

__all__ = ["BatchSizer", "Quarantine", "split_into_batches"]

S = TypeVar("S", bound=tuple[Any, ...])
"""A record and its span."""


def split_into_batches(records: Sequence[Record], max_records: int, max_bytes: int) -> Iterator[list[Record]]:
    """Split leased records into batches, each in the journal's order.

    All records of a lane share one batch, because two requests at once may be stored in either order. The outbox
    leases no more of a lane than fits into a batch.

    Args:
        records: the leased records.
        max_records: records in a batch, at most.
        max_bytes: bytes of events in a batch, about.
    """
    batch: list[Record] = []
    size = 0
    for lane, group in groupby(
        sorted(records, key=lambda record: (record.lane, record.seq)), lambda record: record.lane
    ):
        for part in [[record] for record in group] if lane == 0 else [list(group)]:
            part_size = sum(record.size for record in part)
            if batch and (len(batch) + len(part) > max_records or size + part_size > max_bytes):
                yield sorted(batch, key=lambda record: record.seq)
                batch, size = [], 0
            batch += part
            size += part_size
    if batch:
        yield sorted(batch, key=lambda record: record.seq)


class BatchSizer:
    """Adapts the bytes of events in one request to the link: more after quick responses, fewer after lost ones.

    A request that is too large for its link times out. Its records are then in doubt, and the next request of that
    size would fail as well.

    Args:
        timeout: seconds after which the client stops waiting for a response.
        limit: bytes of events in one request, on the fastest link.
    """

    # On a link of 8 KB per second, six such requests at once get their responses within the usual 30 s.
    _FIRST: Final = 32 << 10
    # Below this size the bytes no longer decide how long a request takes.
    _LEAST: Final = 16 << 10
    _FACTOR: Final = 4
    # Fractions of the timeout: a faster request would still be on time at 16 (4) times the size.
    _AT_ONCE: Final = 1 / 64
    _SOON: Final = 1 / 8
    # Requests share a slow link, and one of them is quick now and then. Only several in a row count.
    _IN_A_ROW: Final = 3

    def __init__(self, timeout: float, limit: int) -> None:
        self._timeout = timeout
        self._limit = limit
        self.max_bytes = min(self._FIRST, limit)
        """The bytes of events in the next request."""
        self._quick_in_a_row = 0

    def observe(self, size: int, seconds: float, outcome: Outcome) -> None:
        """Learn from a request of ``size`` bytes that took ``seconds``.

        >>> from plsync.promptlayer.outcomes import Ambiguous, Delivered
        >>> sizer = BatchSizer(timeout=30.0, limit=4 << 20)
        >>> for _ in range(3):
        ...     sizer.observe(30_000, 1.5, Delivered({}))
        >>> sizer.max_bytes
        131072
        >>> sizer.observe(120_000, 0.2, Delivered({}))
        >>> sizer.max_bytes
        2097152
        >>> sizer.observe(2_000_000, 30.0, Ambiguous("timed out"))
        >>> sizer.max_bytes
        500000
        """
        if isinstance(outcome, Ambiguous):
            self._quick_in_a_row = 0
            self.max_bytes = max(self._LEAST, min(self.max_bytes, size) // self._FACTOR)
        elif isinstance(outcome, Delivered) and size * 2 > self.max_bytes:
            self._quick_in_a_row = self._quick_in_a_row + 1 if seconds < self._timeout * self._SOON else 0
            if seconds < self._timeout * self._AT_ONCE:
                self._grow(self._FACTOR * self._FACTOR)
            elif self._quick_in_a_row == self._IN_A_ROW:
                self._grow(self._FACTOR)

    def _grow(self, factor: int) -> None:
        self._quick_in_a_row = 0
        self.max_bytes = min(self._limit, self.max_bytes * factor)


class Quarantine:
    """Isolates poison records: a batch without a clear response is retried in smaller and smaller groups.

    Its memory lasts as long as the process. One thread observes; any thread may read.
    """

    # The next batch of a suspect has at most a quarter of the records.
    _FACTOR: Final = 4
    # A record that fails alone waits twice as long each time, up to 2 ** 3 times as long.
    _MAX_DOUBLINGS: Final = 3
    # Records that a look-up finds are never removed. Forgetting all suspects costs a few requests.
    _MAX_SUSPECTS: Final = 20_000

    def __init__(self) -> None:
        self._group_limit: dict[int, int] = {}
        self._failures_alone: dict[int, int] = {}

    def observe(self, records: Sequence[Record], outcome: Outcome) -> None:
        """Learn the outcome of one request that held these records."""
        if isinstance(outcome, Ambiguous):
            if len(self._group_limit) > self._MAX_SUSPECTS:
                self._group_limit.clear()
                self._failures_alone.clear()
            self._group_limit.update((record.seq, max(1, len(records) // self._FACTOR)) for record in records)
            if len(records) == 1:
                self._failures_alone[records[0].seq] = self._failures_alone.get(records[0].seq, 0) + 1
        elif isinstance(outcome, Delivered | Refused):
            for record in records:
                self._group_limit.pop(record.seq, None)
                self._failures_alone.pop(record.seq, None)

    def split(self, batch: Sequence[S]) -> list[list[S]]:
        """Split a batch of records and their spans. A suspect shares a part with at most a quarter as many records.

        A record that has failed alone comes last, unless its lane has to stay in order.
        """
        parts: list[list[S]] = []
        room = 0
        for span in sorted(batch, key=lambda span: span[0].lane == 0 and self.failed_alone(span[0])):
            limit = self._group_limit.get(span[0].seq, len(batch))
            room = min(room, limit - len(parts[-1])) if parts else 0
            if room <= 0:
                parts.append([])
                room = limit
            parts[-1].append(span)
            room -= 1
        return parts

    def failed_alone(self, record: Record) -> bool:
        """Whether a request with this record alone got no clear response."""
        return record.seq in self._failures_alone

    def backoff_factor(self, records: Sequence[Record]) -> int:
        """The factor by which to extend the wait before the next look-up: 1, 2, 4 or 8."""
        failures = self._failures_alone.get(records[0].seq, 0) if len(records) == 1 else 0
        return 1 << min(max(failures - 1, 0), self._MAX_DOUBLINGS)
