"""The outbox: records on their way to PromptLayer, as a sender uses them. Each call is one transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson

from plsync._common.clock import now_ms
from plsync.journal.record import STATES, Record, State
from plsync.journal.servers import Server

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

    def find(self, record_id: bytes) -> Record | None:
        """The record with this id of 16 bytes, in any state."""
        row = self._store.get(record_id)
        return None if row is None else Record(row)

    def lease(
        self,
        limit: int,
        lease_ms: int,
        now_ms: int,
        max_bytes: int = 4 << 20,
        *,
        per_lane: int | None = None,
        bytes_per_lane: int | None = None,
        per_tree: int | None = None,
        bytes_per_tree: int | None = None,
        fitting: bool = False,
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
            per_tree: the maximum number of records of a tree that is leased whole (default: ``limit``). Such a tree may
                exceed the limits of bytes. Of a larger tree single records are leased.
            bytes_per_tree: the maximum number of bytes of such a tree (default: ``max_bytes``).
            fitting: lease no record that is larger than ``max_bytes``, nor any record after it.
        """
        rows = self._store.lease(
            limit,
            lease_ms,
            now_ms,
            max_bytes,
            per_lane=per_lane,
            bytes_per_lane=bytes_per_lane,
            per_tree=per_tree,
            bytes_per_tree=bytes_per_tree,
            fitting=fitting,
        )
        return [Record(row) for row in rows]

    def has_due(self, now_ms: int) -> bool:
        """Whether a record may be leased at ``now_ms`` (ms since the epoch)."""
        return self._store.has_due(now_ms)

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

    def set_tree_wait(self, wait_ms: int) -> None:
        """Set how long records wait for the end of their tree's root, in ms, for all leases of this process."""
        self._store.set_tree_wait(wait_ms)

    def tree_rests(self, root_ids: Sequence[str]) -> list[tuple[bool, list[int]]]:
        """The records of trees that are still to be sent.

        Args:
            root_ids: the ids of the records of the roots.

        Returns:
            For each tree, whether its root has ended, and the numbers of its ended records that are not settled.
        """
        return self._store.tree_rests([UUID(root_id).bytes for root_id in root_ids])

    def ack(self, acks: Sequence[tuple[int, int | None]]) -> int:
        """Store PromptLayer's request ids, and queue the callbacks.

        Args:
            acks: ``[(seq, request_id)]``. A record that is acked already keeps its first request id. A run that is not
                a call has no request id.

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

    def next_due(self, now_ms: int, *, growing: bool = True) -> int | None:
        """When the next record that waits for a time is due, in ms since the epoch. None when no record waits.

        Args:
            now_ms: the time.
            growing: also records that wait for the end of their tree's root.
        """
        return self._store.next_due(now_ms, growing=growing)

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

    def dropped(self) -> int:
        """The number of records that were never sent, and whose content the quota has removed until now."""
        return int(self._store.stats()["dropped"])

    # --- the servers ---

    def secret(self) -> bytes:
        """Random bytes of this journal, for the identity of a server and a key."""
        return self._store.secret()

    def bind(self, url: str, account: bytes, *, stand_in: bool = False, how: str = "refuse") -> Server | None:
        """Bind the journal to a server and key. The caller holds ``sync.lock``.

        Args:
            url: the base URL as it may be shown.
            account: the identity of the server and the key.
            stand_in: whether it is a stand-in. Stand-ins count as one server.
            how: ``refuse``: stay with another server that has records. ``rotate``: the key is a new one of the same
                workspace. ``leave``: go to another workspace. Records in doubt stay with the old server.

        Returns:
            None, or the server with which the journal stays.
        """
        found = self._store.bind(url, account, is_stand_in=stand_in, how=how)
        return None if found is None else Server.from_dict(found)

    def servers(self) -> list[Server]:
        """The servers that records were sent to, in the order in which the journal met them."""
        return list(map(Server.from_dict, self._store.servers()))

    def withdraw(self, server_ids: Sequence[int], reason: str) -> dict[str, int]:
        """Make the records that these servers have, or may have, pending again. The caller holds ``sync.lock``.

        The records lose their request ids. Their follow-ups and callbacks wait for the next ones.

        Args:
            server_ids: the numbers of the servers; 0 for request ids without a server.
            reason: stored with each record.

        Returns:
            The numbers of ``records`` that are pending now; of ``pruned`` records, whose content the quota removed;
            and of ``busy`` records, whose callback is running. Pruned and busy records keep their request ids.
        """
        return self._store.withdraw(server_ids, now_ms(), reason)

    def newest_acked(self, limit: int) -> Iterator[Record]:
        """Up to ``limit`` records with a request id, newest ack first."""
        number = self._store.last_ack()
        for _ in range(limit):
            page = self._store.acks(number - 1, 1) if number > 0 else []
            number -= 1
            if page:
                yield Record(page[0][1])

    def set_last_run(self, report: Mapping[str, Any]) -> None:
        """Store the report of a run, for :attr:`plsync.journal.Stats.last_run`."""
        self._store.set_last_run(orjson.dumps(report))

    def requeue(self, seqs: Sequence[int]) -> int:
        """Make dead or held records pending, due now. Returns how many."""
        return self._store.requeue(seqs)
