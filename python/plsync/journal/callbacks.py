"""The callback queue of a journal: request ids that wait until their sinks have taken them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from plsync._common.native import FailedDelivery
from plsync.journal.record import Record
from plsync.journal.reports import Waiting

if TYPE_CHECKING:
    from plsync._common.native import CallbackQueue as Native

__all__ = ["CallbackQueue", "ClaimedCallback", "FailedDelivery"]


class ClaimedCallback(NamedTuple):
    """A request id that is leased to the caller, who calls the sink's function with it."""

    seq: int
    """The number of the record; with the sink it names the entry."""
    attempts: int
    """Deliveries that were started before."""
    record: Record


class CallbackQueue:
    """What ``Journal.callbacks`` gives. Each call is one transaction; times are ms since the epoch.

    ``writer`` names a process that records, by its writer id: it is given the entries of its own records, and those of
    processes that are gone. Without one only the latter.
    """

    def __init__(self, native: Native) -> None:
        """Wraps the queue of an open store."""
        self._native = native

    def waiting(self) -> list[Waiting]:
        """Every sink that something waits for, or was given up for."""
        return [Waiting(**entry) for entry in self._native.waiting()]

    def requeue(self, sink: str | None = None) -> int:
        """Have what was given up tried again as if it were new, of one sink or of all. Returns how many ids."""
        sinks = [entry.sink for entry in self.waiting()] if sink is None else [sink]
        return sum(map(self._native.requeue, sinks))

    def drop(self, sink: str) -> int:
        """Never deliver what waits for a sink, or was given up. Returns how many ids it is not told.

        The records keep their request ids. A command that is given every id (``plsync run --exec``) is given none
        any more until it is named again.
        """
        return self._native.drop(sink)

    # --- delivering ---

    def due(self, writer: bytes | None, now_ms: int) -> tuple[list[str], int | None]:
        """Sinks with something due, and when the next of the others is."""
        return self._native.due(writer, now_ms)

    def claim(self, sink: str, writer: bytes | None, limit: int, lease_ms: int, now_ms: int) -> list[ClaimedCallback]:
        """Up to ``limit`` due entries of a sink, leased to the caller. One that was tried before comes alone."""
        claimed = self._native.claim(sink, writer, limit, lease_ms, now_ms)
        return [ClaimedCallback(entry.seq, entry.attempts, Record(entry.row)) for entry in claimed]

    def extend(self, sink: str, seqs: Sequence[int], lease_until: int) -> None:
        """Keep claimed entries leased."""
        self._native.extend(sink, seqs, lease_until)

    def settle(
        self,
        sink: str,
        *,
        done: Sequence[int] = (),
        failed: Sequence[FailedDelivery] = (),
        released: Sequence[int] = (),
    ) -> None:
        """Say what became of claimed entries: delivered, failed, or not tried after all."""
        self._native.settle(sink, done, failed, released)

    def give_every_ack(self, sink: str) -> None:
        """Queue every ack that comes from now on for a sink; one that has them already goes on where it is."""
        self._native.give_every_ack(sink)
