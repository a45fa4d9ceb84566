"""What a fork waits for: work of plsync's threads that a child must not inherit half done.

A child has none of its parent's threads. What one of them held or was about to finish stays as it was: a lock of the
store for ever locked, a module for ever half imported.
"""

from __future__ import annotations

import os
import threading
from types import TracebackType
from typing import Final

__all__ = ["Unforked", "importing"]


class Unforked:
    """A stretch of work that no fork cuts in two. Entered by one thread at a time."""

    def __init__(self, patience: float) -> None:
        """A fork waits so many seconds for it, and no longer."""
        self._patience = patience
        self._lock = threading.Lock()
        self._forking = threading.local()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=self._before, after_in_parent=self._in_parent, after_in_child=self._in_child)

    def __enter__(self) -> None:
        """Begin, when nobody forks and no other thread is at it."""
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Done."""
        self._lock.release()

    def _before(self) -> None:
        self._forking.holds = self._lock.acquire(timeout=self._patience)

    def _in_parent(self) -> None:
        if self._forking.holds:
            self._lock.release()

    def _in_child(self) -> None:
        self._lock = threading.Lock()


importing: Final = Unforked(10.0)
"""Around imports of plsync's threads."""
