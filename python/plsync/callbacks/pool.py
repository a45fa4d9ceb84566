"""The threads that deliver: a few, each with one sink's worker, and one more for a sink whose call takes long."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final, Protocol

from plsync.callbacks.worker import LONG_CALL, DeliveryReport, Worker
from plsync.errors import SinkUnavailable

__all__ = ["Pool", "WorkerThread"]

# Threads whose calls do not take long, and all threads.
_MOST_WORKING: Final = 16
_MOST_THREADS: Final = 80
_MOST_OF_SINK: Final = 4
# Seconds. A thread without work is kept for the next ids; one whose journal fails tries again sooner.
_LINGER: Final = 60.0
_RETRY: Final = 5.0
# Leases are extended well before they are over.
_EXTEND: Final = 10.0

_log = logging.getLogger(__name__)


class Owner(Protocol):
    """Whom a pool works for."""

    stopping: threading.Event
    """Set when no further call may begin."""

    def worker(self, sink: str) -> Worker:
        """A new worker for a sink."""

    def told(self, report: DeliveryReport) -> None:
        """Something happened that somebody may want to read."""

    def trouble(self, error: Exception) -> None:
        """The journal could not be read or written to."""

    def ring(self) -> None:
        """There is a thread to be had again."""


class Pool:
    """Gives sinks threads. Called by one thread, which is never kept waiting by a callback."""

    def __init__(self, owner: Owner) -> None:
        """No thread is started before there is work."""
        self._owner = owner
        self._lock = threading.Lock()
        self._threads: list[WorkerThread] = []
        self._extended = time.monotonic()

    def threads(self) -> list[WorkerThread]:
        """Those there are now."""
        with self._lock:
            return list(self._threads)

    def is_busy(self) -> bool:
        """Whether any of them has something that is not settled."""
        return any(thread.worker.is_busy for thread in self.threads())

    def assign(self, sink: str) -> bool:
        """See to it that a thread delivers to a sink; False if there is none to be had now."""
        threads = self.threads()
        theirs = [thread for thread in threads if thread.worker.sink == sink]
        for thread in theirs:
            if not thread.worker.is_stuck:
                thread.wake()
                return True
        if len(theirs) >= _MOST_OF_SINK or len(threads) >= _MOST_THREADS:
            return False
        working = [thread for thread in threads if not thread.worker.is_stuck]
        if len(working) >= _MOST_WORKING:
            for thread in working:
                if not thread.worker.is_busy:
                    thread.dismiss()
                    break
            return False
        return self._start(sink)

    def tend(self) -> None:
        """Store and keep what threads have whose calls take a while."""
        extend = time.monotonic() - self._extended >= _EXTEND
        if extend:
            self._extended = time.monotonic()
        for thread in self.threads():
            try:
                if thread.worker.is_stuck:
                    self._go_on_without(thread)
                else:
                    thread.is_known_stuck = False
                thread.worker.store()
                if extend:
                    thread.worker.extend()
            except Exception as error:
                self._owner.trouble(error)

    def left(self, thread: WorkerThread) -> None:
        """A thread has ended."""
        with self._lock:
            if thread in self._threads:
                self._threads.remove(thread)
        self._owner.ring()

    def _start(self, sink: str) -> bool:
        thread = WorkerThread(self, self._owner, self._owner.worker(sink))
        with self._lock:
            self._threads.append(thread)
        try:
            thread.start()
        except RuntimeError as error:  # no thread to be had, or the interpreter is closing
            self.left(thread)
            self._owner.trouble(error)
            return False
        return True

    def _go_on_without(self, thread: WorkerThread) -> None:
        """Let others have what a thread has not called yet, since its call takes long."""
        thread.worker.put_back()
        if not thread.is_known_stuck:
            thread.is_known_stuck = True
            line = f"{thread.worker.sink}: a call takes more than {LONG_CALL:g} s; others go on without it"
            _log.warning(line)
            self._owner.told(DeliveryReport(errors=[line]))


class WorkerThread(threading.Thread):
    """One worker's thread. It stays for a while when nothing is due, and so does the event loop of async callbacks."""

    def __init__(self, pool: Pool, owner: Owner, worker: Worker) -> None:
        """Not started yet."""
        super().__init__(name=f"plsync-deliver {worker.sink}", daemon=True)
        self.worker = worker
        self.is_known_stuck = False
        self._pool = pool
        self._owner = owner
        self._woken = threading.Event()
        self._dismissed = False

    def wake(self) -> None:
        """There may be something due."""
        self._woken.set()

    def dismiss(self) -> None:
        """Make room for another sink."""
        self._dismissed = True
        self._woken.set()

    def run(self) -> None:
        """Deliver what is due, and what comes within a while."""
        try:
            while not self._dismissed and not self._owner.stopping.is_set():
                self._woken.clear()
                try:
                    self.worker.drain()
                except SinkUnavailable:  # whoever looked for it knows why
                    break
                except Exception as error:
                    self._owner.trouble(error)
                    self._woken.wait(_RETRY)
                    continue
                if not self._woken.wait(_LINGER):
                    break
        finally:
            self._pool.left(self)
            self.worker.close()
