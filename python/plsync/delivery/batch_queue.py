"""Leased batches on their way to the request threads, with the memory that they take."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, Generic, TypeVar

from plsync.delivery.memory import return_freed_memory

if TYPE_CHECKING:
    from plsync.delivery.memory import Holding, MemoryBudget
    from plsync.journal.record import Record
    from plsync.promptlayer.request_threads import RequestThreads

__all__ = ["BatchQueue"]

# A record of this size that was leased before may be the reason that its sender was killed.
_LARGE: Final = 1 << 20

R = TypeVar("R")


class BatchQueue(Generic[R]):
    """Passes batches to request threads. A large record whose earlier sending had no result goes alone, and first.

    One thread adds, submits and collects; :meth:`translated` is for the request threads.

    Args:
        threads: the request threads.
        memory: the budget, which holds the cost of every batch from its lease to its result.
    """

    def __init__(self, threads: RequestThreads[list[Record], R], memory: MemoryBudget) -> None:
        self._threads = threads
        self._memory = memory
        self._waiting: deque[list[Record]] = deque()
        self._holdings: dict[int, Holding] = {}
        self._alone: list[Record] | None = None

    @property
    def waiting(self) -> bool:
        """Whether a leased batch waits for a thread."""
        return bool(self._waiting)

    def add(self, batches: Iterable[list[Record]]) -> None:
        """Add leased batches. Submit them with :meth:`submit`."""
        for batch in batches:
            self._holdings[id(batch)] = self._memory.hold(sum(record.size for record in batch))
            if _is_suspect(batch):
                self._waiting.appendleft(batch)
            else:
                self._waiting.append(batch)

    def submit(self) -> None:
        """Submit the next batches to the free threads."""
        while self._waiting and self._threads.free and self._alone is None:
            if _is_suspect(self._waiting[0]):
                if self._threads.busy:
                    return
                self._alone = self._waiting[0]
            self._threads.submit(self._waiting.popleft())

    def collect(self, timeout: float) -> list[tuple[list[Record], R]]:
        """The batches with a result, as :meth:`RequestThreads.collect` returns them."""
        done = self._threads.collect(timeout)
        is_large = False
        for batch, _ in done:
            holding = self._holdings.pop(id(batch))
            is_large = is_large or holding.size >= _LARGE
            self._memory.release(holding)
            if batch is self._alone:
                self._alone = None
        if is_large:
            return_freed_memory()
        return done

    def translated(self, batch: list[Record]) -> None:
        """Reduce the memory of a batch to the memory of its JSON."""
        self._memory.translated(self._holdings[id(batch)])

    def take_waiting(self) -> list[Record]:
        """The records that were not submitted. They leave the queue."""
        records = [record for batch in self._waiting for record in batch]
        for batch in self._waiting:
            self._memory.release(self._holdings.pop(id(batch)))
        self._waiting.clear()
        return records

    def close(self) -> None:
        """Return all memory to the budget: no thread works any more, or its result is dropped."""
        self._waiting.clear()
        self._alone = None
        for holding in self._holdings.values():
            self._memory.release(holding)
        self._holdings.clear()


def _is_suspect(batch: list[Record]) -> bool:
    return any(record.attempts > 1 and record.size >= _LARGE for record in batch)
