"""Daemon threads for HTTP requests. The caller may abandon a request; a request never keeps the process alive."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable
from functools import partial
from typing import Final, Generic, NoReturn, TypeAlias, TypeVar

from plsync.promptlayer.thread_pool import StartThread, start_thread

__all__ = ["RequestThreads", "call_unless_stopped"]

# The interval between two looks at the stop flag, in seconds.
_POLL: Final = 0.1

T = TypeVar("T")
R = TypeVar("R")

_Results: TypeAlias = "queue.SimpleQueue[tuple[T, Callable[[], R]]]"


class RequestThreads(Generic[T, R]):
    """Up to ``number`` daemon threads that apply one function; one thread submits items and collects results.

    The submitting thread applies the function itself where no thread can start: the system has no more, or the
    interpreter is shutting down (Python 3.12).

    Args:
        work: the function; takes an item and returns its result.
        number: threads, at most. They start when there is work for them.
        name: the name of each thread.
        start: starts a thread.
    """

    def __init__(self, work: Callable[[T], R], number: int, name: str, start: StartThread = start_thread) -> None:
        self._work = work
        self.number = number
        """Threads, at most. A smaller number holds for later items."""
        self._name = name
        self._start_thread = start
        self._started = 0
        self._tasks: queue.SimpleQueue[tuple[T, _Results[T, R]] | None] = queue.SimpleQueue()
        self._results: _Results[T, R] = queue.SimpleQueue()
        self._in_flight: dict[int, T] = {}

    @property
    def free(self) -> int:
        """The number of items that can be submitted now."""
        return max(0, self.number - len(self._in_flight))

    @property
    def busy(self) -> bool:
        """Whether a submitted item has not been collected."""
        return bool(self._in_flight)

    def submit(self, item: T) -> None:
        """Apply the function to an item, in a thread."""
        self._in_flight[id(item)] = item
        if self._started < min(self.number, len(self._in_flight)):
            self._start()
        if self._started:
            self._tasks.put((item, self._results))
        else:
            self._results.put((item, _attempt(self._work, item)))

    def collect(self, timeout: float) -> list[tuple[T, R]]:
        """Wait for a result, and return all items that are done; empty after ``timeout`` seconds without one.

        Raises:
            Exception: the function's own exception.
        """
        finished = []
        with contextlib.suppress(queue.Empty):
            finished.append(self._results.get(timeout=timeout))
            while True:
                finished.append(self._results.get_nowait())
        for item, _ in finished:
            del self._in_flight[id(item)]
        return [(item, result()) for item, result in finished]

    def abandon(self) -> list[T]:
        """Return the items in flight, and drop their results."""
        abandoned = list(self._in_flight.values())
        self._in_flight = {}
        self._results = queue.SimpleQueue()
        return abandoned

    def drop(self, stopped: Callable[[], bool]) -> None:
        """Wait until no item is in flight, or ``stopped()`` is true. Drop all results."""
        while self._in_flight and not stopped():
            with contextlib.suppress(queue.Empty):
                item, _ = self._results.get(timeout=_POLL)
                del self._in_flight[id(item)]
        self.abandon()

    def close(self) -> None:
        """Let the threads end once no submitted item is left. A later item starts new threads."""
        for _ in range(self._started):
            self._tasks.put(None)
        self._started = 0

    def _start(self) -> None:
        with contextlib.suppress(RuntimeError):
            self._start_thread(self._run, self._name)
            self._started += 1

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            item, results = task
            results.put((item, _attempt(self._work, item)))


def call_unless_stopped(stopped: Callable[[], bool], work: Callable[[], R], name: str) -> R | None:
    """Call ``work`` in a new thread and return its result; return None as soon as ``stopped()`` is true.

    For requests that change nothing: an abandoned one still runs to its end. Signals are handled only by the main
    thread, so it must not block in DNS or on a silent server.
    """
    threads: RequestThreads[None, R] = RequestThreads(lambda _: work(), 1, name)
    threads.submit(None)
    threads.close()
    while not stopped():
        for _, result in threads.collect(_POLL):
            return result
    return None


def _attempt(work: Callable[[T], R], item: T) -> Callable[[], R]:
    """Apply ``work`` now, and return a function that returns its value or raises its exception."""
    try:
        value = work(item)
    except BaseException as error:  # the collecting thread raises it
        return partial(_raise, error)
    return lambda: value


def _raise(error: BaseException) -> NoReturn:
    raise error
