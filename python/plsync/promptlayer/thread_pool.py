"""Daemon threads that work again: the start of a thread takes milliseconds beside busy threads."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["StartThread", "ThreadPool", "start_thread"]

StartThread: TypeAlias = Callable[[Callable[[], None], str], None]
"""Calls a function in a daemon thread with a name. Raises RuntimeError if the system has no thread."""

_Jobs: TypeAlias = "queue.SimpleQueue[tuple[Callable[[], None], str] | None]"


def start_thread(work: Callable[[], None], name: str) -> None:
    """Call a function in a new daemon thread.

    Raises:
        RuntimeError: the system has no more threads, or the interpreter is shutting down.
    """
    threading.Thread(target=work, name=name, daemon=True).start()


class ThreadPool:
    """Threads that wait for the next function once they have called one. Any thread may start functions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Jobs] = []
        self._is_closed = False

    @property
    def is_waiting(self) -> bool:
        """Whether a thread waits for a function."""
        return bool(self._idle)

    def start(self, work: Callable[[], None], name: str) -> None:
        """Call a function in a waiting thread, or in a new one.

        Raises:
            RuntimeError: as :func:`start_thread`.
        """
        with self._lock:
            jobs = self._idle.pop() if self._idle else None
        if jobs is None:
            jobs = queue.SimpleQueue()
            start_thread(lambda: self._serve(jobs), name)
        jobs.put((work, name))

    def close(self) -> None:
        """End the threads that wait. A thread that works ends after its function."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for jobs in idle:
            jobs.put(None)

    def _serve(self, jobs: _Jobs) -> None:
        while (job := jobs.get()) is not None:
            work, threading.current_thread().name = job
            work()
            # The function may hold a journal.
            del job, work
            with self._lock:
                if self._is_closed:
                    return
                self._idle.append(jobs)
