"""The callback queue of a journal: request ids that wait for their sinks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from plsync._common.background import ForkGuard
from plsync._common.clock import now_ms
from plsync._common.native import FailedCallback
from plsync.journal.record import Record
from plsync.journal.reports import SinkBacklog

if TYPE_CHECKING:
    from plsync._common.native import CallbackQueue as Native

__all__ = ["LEASE", "CallbackQueue", "ClaimedCallback", "FailedCallback"]

LEASE: Final = 30.0
"""Seconds for which a claimed entry is leased. A living process extends its leases well before they end."""

_BATCH: Final = 16

# The native store has a fork guard, too, but a fork that waits there holds the GIL. This guard lets other threads run
# meanwhile. Its time is short: while another process compacts the store, a call may take long.
_fork_guard: Final = ForkGuard(1.0)


class ClaimedCallback(NamedTuple):
    """An entry that is leased to the caller."""

    seq: int
    """The record's number. The number and the sink identify the entry."""
    attempts: int
    """Deliveries attempted before."""
    record: Record


class CallbackQueue:
    """The callbacks of one journal: :attr:`plsync.Journal.callbacks`. Each call is one transaction.

    >>> from plsync import Journal
    >>> with Journal.open(create=True) as journal:
    ...     journal.callbacks.waiting()
    []
    """

    def __init__(self, native: Native) -> None:
        """Programs use :attr:`plsync.Journal.callbacks`."""
        self._native = native

    def waiting(self) -> list[SinkBacklog]:
        """The sinks that have request ids to receive, or whose deliveries were given up."""
        return [SinkBacklog(**entry) for entry in self._native.waiting()]

    def requeue(self, sink: str | None = None) -> int:
        """Make the dead entries of a sink due now, with no attempts counted; of all sinks by default.

        Returns:
            How many request ids.
        """
        sinks = [entry.sink for entry in self.waiting()] if sink is None else [sink]
        return sum(map(self._native.requeue, sinks))

    def drop(self, sink: str) -> int:
        """Remove all entries of a sink, dead ones included. The records keep their request ids.

        A command that receives every id (``plsync run --exec``) receives no more, until it is named again.

        Returns:
            How many request ids.
        """
        return self._native.drop(sink)

    def subscribe(self, sink: str) -> None:
        """Queue every later ack for a sink. A sink that is subscribed keeps its position."""
        self._native.subscribe(sink)

    # --- delivery ---
    #
    # `writer` is the writer id of a process that records. It receives the entries of its records,
    # and the entries of dead processes. Any other process receives only the entries of dead processes.

    def due(self, writer: bytes | None, now: int | None = None) -> tuple[list[str], int | None]:
        """The sinks with due entries.

        Args:
            writer: the writer id of this process, if it records.
            now: the time, in ms since the epoch; the clock's by default.

        Returns:
            Their names, and when the next entry of another sink is due, in ms since the epoch.
        """
        with _fork_guard:
            return self._native.due(writer, now_ms() if now is None else now)

    def claim(
        self,
        sink: str,
        writer: bytes | None,
        limit: int = _BATCH,
        lease_ms: int | None = None,
        now: int | None = None,
    ) -> list[ClaimedCallback]:
        """Lease due entries of a sink to the caller.

        Args:
            sink: the name of the sink.
            writer: the writer id of this process, if it records.
            limit: the maximum number of entries. An entry that was attempted before comes alone.
            lease_ms: how long the lease lasts, in ms (default: :data:`LEASE`).
            now: the time, in ms since the epoch; the clock's by default.
        """
        lease_ms = int(LEASE * 1000) if lease_ms is None else lease_ms
        with _fork_guard:
            claimed = self._native.claim(sink, writer, limit, lease_ms, now_ms() if now is None else now)
            return [ClaimedCallback(entry.seq, entry.attempts, Record(entry.row)) for entry in claimed]

    def extend(self, sink: str, seqs: Sequence[int]) -> None:
        """Lease claimed entries for another :data:`LEASE` seconds."""
        with _fork_guard:
            self._native.extend(sink, seqs, now_ms() + int(LEASE * 1000))

    def settle(
        self,
        sink: str,
        *,
        done: Sequence[int] = (),
        failed: Sequence[FailedCallback] = (),
        released: Sequence[int] = (),
    ) -> None:
        """Store the results of claimed entries.

        Args:
            sink: the name of the sink.
            done: delivered; the entries are removed.
            failed: failed; retried at their time, or dead.
            released: not attempted; due at once.
        """
        with _fork_guard:
            self._native.settle(sink, done, failed, released)
