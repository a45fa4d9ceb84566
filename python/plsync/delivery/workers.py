"""Threads that do requests side by side. Whoever hands them work can stop waiting for it, and so can the process."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable
from functools import partial
from typing import Final, Generic, NoReturn, TypeAlias, TypeVar

__all__ = ["Workers", "unless"]

# How soon a stop is noticed, in seconds.
_POLL: Final = 0.1

T = TypeVar("T")
R = TypeVar("R")

_Finished: TypeAlias = "queue.SimpleQueue[tuple[T, Callable[[], R]]]"


class Workers(Generic[T, R]):
    """Up to ``number`` daemon threads that apply one function; one thread hands out the work and takes it back.

    It does the work itself where no thread can be started: the system has no more, or Python 3.12 is about to end.
    """

    def __init__(self, work: Callable[[T], R], number: int, name: str) -> None:
        """Prepare; threads start as they are needed."""
        self._work = work
        self._number = number
        self._name = name
        self._threads: list[threading.Thread] = []
        self._tasks: queue.SimpleQueue[tuple[T, _Finished[T, R]] | None] = queue.SimpleQueue()
        self._done: _Finished[T, R] = queue.SimpleQueue()
        self._at_work: dict[int, T] = {}

    @property
    def free(self) -> int:
        """How many more can be at work."""
        return self._number - len(self._at_work)

    @property
    def busy(self) -> bool:
        """Whether anything is at work."""
        return bool(self._at_work)

    def submit(self, item: T) -> None:
        """Have a thread do this."""
        self._at_work[id(item)] = item
        if len(self._threads) < min(self._number, len(self._at_work)):
            self._start()
        if self._threads:
            self._tasks.put((item, self._done))
        else:
            self._done.put((item, _attempt(self._work, item)))

    def collect(self, timeout: float) -> list[tuple[T, R]]:
        """What is done, as soon as something is; empty when nothing is within ``timeout`` seconds.

        Raises:
            Exception: whatever the function raised.
        """
        finished = []
        with contextlib.suppress(queue.Empty):
            finished.append(self._done.get(timeout=timeout))
            while True:
                finished.append(self._done.get_nowait())
        return [(self._at_work.pop(id(item)), result()) for item, result in finished]

    def abandon(self) -> list[T]:
        """Wait no longer for what is at work; what it still brings is dropped."""
        left = list(self._at_work.values())
        self._at_work = {}
        self._done = queue.SimpleQueue()
        return left

    def close(self) -> None:
        """Let the threads end when they are done."""
        for _ in self._threads:
            self._tasks.put(None)
        self._threads = []

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name=self._name, daemon=True)
        with contextlib.suppress(RuntimeError):
            thread.start()
            self._threads.append(thread)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            item, done = task
            done.put((item, _attempt(self._work, item)))


def unless(stopped: Callable[[], bool], work: Callable[[], R], name: str) -> R | None:
    """What ``work`` returns, done in a thread of its own; None as soon as ``stopped``, whatever it still does.

    For requests that change nothing. A thread that waits in the resolver, or for a server that is silent, hears no
    signal until that is over: the main thread of a run must not be it.
    """
    workers: Workers[None, R] = Workers(lambda _: work(), 1, name)
    workers.submit(None)
    workers.close()
    while not stopped():
        for _, result in workers.collect(_POLL):
            return result
    return None


def _attempt(work: Callable[[T], R], item: T) -> Callable[[], R]:
    """Do it now; what is returned gives the result, or raises what was raised."""
    try:
        value = work(item)
    except BaseException as error:  # it belongs to whoever collects
        return partial(_raise, error)
    return lambda: value


def _raise(error: BaseException) -> NoReturn:
    raise error
