"""Background threads of a recording program: one per journal, and guards against forks.

A forked child lacks its parent's threads. A lock that such a thread held stays locked in the child, and a module that
it was importing stays half imported. :class:`ForkGuard` lets a fork wait for such work.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar, Final

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ForkGuard", "JournalThread", "import_guard"]


class ForkGuard:
    """A context manager around work that no fork may interrupt. One thread at a time enters it."""

    def __init__(self, patience: float) -> None:
        """``patience``: how many seconds a fork waits for the work at most."""
        self._patience = patience
        self._lock = threading.Lock()
        self._forking = threading.local()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._before, after_in_parent=self._in_parent, after_in_child=self._in_child)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def _before(self) -> None:
        self._forking.holds = self._lock.acquire(timeout=self._patience)

    def _in_parent(self) -> None:
        if self._forking.holds:
            self._lock.release()

    def _in_child(self) -> None:
        self._lock = threading.Lock()


import_guard: Final = ForkGuard(10.0)
"""Guards the imports of plsync's threads."""


class JournalThread:
    """Work for one journal in a daemon thread of this process.

    :meth:`for_journal` returns the one object for a journal. :meth:`ensure_started` starts its thread, also in a forked
    child. At the end of the program :meth:`at_exit` stops it. A subclass implements :meth:`_reset`, :meth:`_run` and
    :meth:`at_exit`.
    """

    _by_path: ClassVar[dict[str, Any]]
    _creation_lock: ClassVar[threading.Lock]
    _name: ClassVar[str]
    """The thread's name."""
    _purpose: ClassVar[str]
    """The work of the thread. The text completes the log message "plsync could not start the thread that ..."."""
    _log: ClassVar[logging.Logger]

    def __init_subclass__(cls) -> None:
        cls._by_path = {}
        cls._creation_lock = threading.Lock()
        # atexit calls this after the program's own threads have ended, and before daemon threads are stopped.
        atexit.register(cls._exit)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=cls._in_child)

    def __init__(self, path: str) -> None:
        """``path``: the journal's directory."""
        self.path = path
        self._set_up()

    def _set_up(self) -> None:
        # In a forked child a thread that no longer exists may hold the lock.
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._reset()

    @classmethod
    def for_journal(cls, path: str) -> Self:
        """This process's object for the journal at ``path``."""
        # Two handlers of one journal may start in two threads. Two objects would run the journal's callbacks twice.
        with cls._creation_lock:
            found: Self | None = cls._by_path.get(path)
            if found is None:
                found = cls._by_path[path] = cls(path)
            return found

    def ensure_started(self) -> None:
        """Start the thread unless it runs or was stopped. Cheap: every recorded call calls it."""
        if self._is_running() or self._stopping.is_set():
            return
        with self._lock:
            if self._is_running() or self._stopping.is_set():
                return
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            try:
                thread.start()
                self._thread = thread
            except RuntimeError as error:  # no more threads, or the interpreter is closing: the journal keeps the work
                self._log.warning("plsync could not start the thread that %s: %s", self._purpose, error)

    def at_exit(self, since: float) -> None:
        """Stop the thread. ``since`` is the value of ``time.monotonic()`` when the program began to end."""
        raise NotImplementedError

    def _run(self) -> None:
        """The thread's work, until ``_stopping`` is set."""
        raise NotImplementedError

    def _reset(self) -> None:
        """Set the attributes that belong to a running thread: at first, and in a forked child."""

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _join(self, seconds: float) -> None:
        if self._thread is not None:
            self._thread.join(max(0.0, seconds))

    @classmethod
    def _exit(cls) -> None:
        since = time.monotonic()
        for journal_thread in list(cls._by_path.values()):
            journal_thread.at_exit(since)

    @classmethod
    def _in_child(cls) -> None:
        # A thread of the parent may have held the lock.
        cls._creation_lock = threading.Lock()
        for journal_thread in cls._by_path.values():
            journal_thread._set_up()
