"""The callback queue, as those have it who deliver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from plsync._common.background import ForkGuard
from plsync._common.clock import now_ms
from plsync.journal.callbacks import ClaimedCallback, FailedDelivery

if TYPE_CHECKING:
    from plsync.journal.journal import Journal

__all__ = ["LEASE", "Entries"]

LEASE: Final = 30.0
"""Seconds that a dead process's entries wait at most. A living one extends its own well before they are over."""

_BATCH: Final = 16

# Not longer: while another process compacts the store, a thread may be in there for a while.
_in_store: Final = ForkGuard(1.0)


@dataclass
class Entries:
    """The callback queue, as one deliverer has it."""

    journal: Journal
    writer: Callable[[], bytes | None]
    """This process's own writer id; None if it delivers for processes that are gone, and for those alone."""

    def due(self) -> tuple[list[str], float | None]:
        """Sinks with something due, and in how many seconds the next of the others is."""
        with _in_store:
            now = now_ms()
            sinks, following = self.journal.callbacks.due(self.writer(), now)
        return sinks, None if following is None else (following - now) / 1000

    def claim(self, sink: str) -> list[ClaimedCallback]:
        """Due entries of a sink, leased to this process."""
        with _in_store:
            return self.journal.callbacks.claim(sink, self.writer(), _BATCH, int(LEASE * 1000), now_ms())

    def extend(self, sink: str, seqs: Sequence[int]) -> None:
        """Lease claimed entries anew."""
        with _in_store:
            self.journal.callbacks.extend(sink, seqs, now_ms() + int(LEASE * 1000))

    def settle(
        self,
        sink: str,
        *,
        done: Sequence[int] = (),
        failed: Sequence[FailedDelivery] = (),
        released: Sequence[int] = (),
    ) -> None:
        """Store what became of claimed entries."""
        with _in_store:
            self.journal.callbacks.settle(sink, done=done, failed=failed, released=released)
