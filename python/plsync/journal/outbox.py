"""Records on their way to PromptLayer: the sender's side of a journal. Each call is one transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from plsync.journal.record import STATES, Record, State

if TYPE_CHECKING:
    from plsync._common import native
    from plsync.journal.journal import Journal

__all__ = ["Outbox"]


class Outbox:
    """The records of one journal that wait to be sent, or are being sent: :attr:`plsync.Journal.outbox`."""

    def __init__(self, journal: Journal, store: native.Store) -> None:
        """Of an open journal; programs use its ``outbox``."""
        self._journal = journal
        self._store = store

    def lease(
        self,
        limit: int,
        lease_ms: int,
        now_ms: int,
        max_bytes: int = 4 << 20,
        *,
        of_lane: int | None = None,
        lane_bytes: int | None = None,
    ) -> list[Record]:
        """Take up to ``limit`` due records for sending: pending becomes leased, for ``lease_ms``.

        Of a lane that keeps its order no more than ``of_lane`` and about ``lane_bytes`` bytes, and none while earlier
        ones are on their way. One record is always taken.
        """
        return [Record(row) for row in self._store.lease(limit, lease_ms, now_ms, max_bytes, of_lane, lane_bytes)]

    def orphan_leases(self, old_ms: int, due_ms: int) -> int:
        """Put what a dead sender had taken up in doubt, due at ``due_ms``, or at once if taken before ``old_ms``."""
        return self._store.orphan_leases(old_ms, due_ms)

    def in_doubt(self, limit: int, now_ms: int) -> list[Record]:
        """Records in doubt that are due to be looked up."""
        return [Record(row) for row in self._store.in_doubt(limit, now_ms)]

    def ack(self, answered: Sequence[tuple[int, int]]) -> int:
        """Keep PromptLayer's answer, ``[(seq, request_id)]``, and queue the callbacks; how many were new."""
        new = self._store.ack(answered)
        if new:
            # The ids are kept. Where the disk is full, who waits for them looks by itself after a while.
            with contextlib.suppress(OSError):
                self._journal.doorbell()
        return new

    def release(self, seqs: Sequence[int], not_before: int, error: str) -> None:
        """Make records pending again, due at ``not_before`` (ms since the epoch)."""
        self._store.release(seqs, not_before, error)

    def park(self, seqs: Sequence[int], state: State, error: str, not_before: int = 0) -> None:
        """Put records in doubt, or make them dead or held, with the reason."""
        self._store.park(seqs, STATES.index(state), error, not_before)

    def renew(self, seqs: Sequence[int], error: str) -> None:
        """Make records in doubt pending, to be sent under other ids: PromptLayer makes no log of the first."""
        self._store.renew(seqs, error)

    def next_due(self, now_ms: int) -> int | None:
        """When the next record that waits for a moment is due, in ms since the epoch."""
        return self._store.next_due(now_ms)

    def mend_waits(self, before_ms: int, after_ms: int, longest_ms: int) -> int:
        """Move every wait along with a clock that was set; none then ends later than ``longest_ms`` from now."""
        return self._store.mend_waits(before_ms, after_ms, longest_ms)

    def requeue(self, seqs: Sequence[int]) -> int:
        """Make dead or held records pending, due now; how many."""
        return self._store.requeue(seqs)
