"""The outbox: records on their way to PromptLayer, as a sender uses them. Each call is one transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from plsync.journal.record import STATES, Record, State

if TYPE_CHECKING:
    from plsync._common import native
    from plsync.journal.doorbell import Doorbell

__all__ = ["Outbox"]


class Outbox:
    """The records of one journal that wait to be sent, or are being sent: :attr:`plsync.Journal.outbox`.

    >>> from plsync import Journal
    >>> with Journal.open(create=True) as journal:
    ...     journal.outbox.requeue([])
    0
    """

    def __init__(self, store: native.Store, doorbell: Doorbell) -> None:
        """Programs use :attr:`plsync.Journal.outbox`."""
        self._store = store
        self._doorbell = doorbell

    def lease(
        self,
        limit: int,
        lease_ms: int,
        now_ms: int,
        max_bytes: int = 4 << 20,
        *,
        per_lane: int | None = None,
        bytes_per_lane: int | None = None,
    ) -> list[Record]:
        """Lease due records for sending: pending becomes leased.

        A lane with records that are leased, in doubt or delayed yields none.

        Args:
            limit: the maximum number of records.
            lease_ms: how long the lease lasts, in ms.
            now_ms: the time, in ms since the epoch.
            max_bytes: about the maximum number of bytes of events. One record is always leased.
            per_lane: the maximum number of records of one lane (default: ``limit``).
            bytes_per_lane: the maximum number of bytes of one lane (default: ``max_bytes``).
        """
        rows = self._store.lease(limit, lease_ms, now_ms, max_bytes, per_lane=per_lane, bytes_per_lane=bytes_per_lane)
        return [Record(row) for row in rows]

    def orphan_leases(self, old_ms: int, due_ms: int) -> int:
        """Put the leased records of a dead sender in doubt.

        Args:
            old_ms: records leased before this are due at once, in ms since the epoch.
            due_ms: when the rest is due, in ms since the epoch.

        Returns:
            How many records.
        """
        return self._store.orphan_leases(old_ms, due_ms)

    def in_doubt(self, limit: int, now_ms: int) -> list[Record]:
        """At most ``limit`` records in doubt whose look-up is due at ``now_ms`` (ms since the epoch)."""
        return [Record(row) for row in self._store.in_doubt(limit, now_ms)]

    def ack(self, acks: Sequence[tuple[int, int]]) -> int:
        """Store PromptLayer's request ids, and queue the callbacks.

        Args:
            acks: ``[(seq, request_id)]``. A record that is acked already keeps its first request id.

        Returns:
            How many records were not acked before.
        """
        new = self._store.ack(acks)
        if new:
            # The ids are stored. On a full disk the waiting programs find them at their next poll.
            with contextlib.suppress(OSError):
                self._doorbell.ring()
        return new

    def release(self, seqs: Sequence[int], not_before: int, error: str) -> None:
        """Make leased records, or records in doubt, pending again.

        Args:
            seqs: the records.
            not_before: when they are due, in ms since the epoch.
            error: why they were not acked.
        """
        self._store.release(seqs, not_before, error)

    def park(self, seqs: Sequence[int], state: State, error: str, not_before: int = 0) -> None:
        """Put records in doubt, or make them dead or held.

        Args:
            seqs: the records.
            state: ``in_doubt``, ``dead`` or ``held``.
            error: the reason.
            not_before: when a record in doubt is looked up, in ms since the epoch.
        """
        self._store.park(seqs, STATES.index(state), error, not_before)

    def renew(self, seqs: Sequence[int], error: str) -> None:
        """Make records in doubt pending under other trace ids: PromptLayer makes no log of the first trace."""
        self._store.renew(seqs, error)

    def next_due(self, now_ms: int) -> int | None:
        """When the next record that waits for a time is due, in ms since the epoch. None when no record waits."""
        return self._store.next_due(now_ms)

    def shift_waits(self, before_ms: int, after_ms: int, longest_ms: int) -> int:
        """Correct the waits of records after the wall clock was set.

        Args:
            before_ms: the time that the clock would show, in ms since the epoch.
            after_ms: the time that it shows.
            longest_ms: the longest wait that remains.

        Returns:
            How many records.
        """
        return self._store.shift_waits(before_ms, after_ms, longest_ms)

    def requeue(self, seqs: Sequence[int]) -> int:
        """Make dead or held records pending, due now. Returns how many."""
        return self._store.requeue(seqs)
