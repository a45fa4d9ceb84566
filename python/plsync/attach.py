"""Delivery in the live process: a thread that calls ``pl_id_callback`` when a request id has come back.

The journal's ``doorbell`` file says when: whoever stores request ids touches it. Between rings a round costs one
``stat``; the journal itself is opened at the first ring.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Hashable
from typing import Any

from plsync import sinks
from plsync._native import Recorder

__all__ = ["attach"]

_POLL_SECONDS = 0.25
# Callbacks that raised, and entries whose process has died since, are looked at again without a ring.
_REVISIT_SECONDS = 30.0
# Callbacks of one name that are kept; a program that makes one for each call would otherwise keep them all.
_MOST = 10_000

_log = logging.getLogger(__name__)


class Deliverer:
    """Delivers the request ids of one journal to the sinks of this process."""

    def __init__(self, path: str) -> None:
        """``path``: the journal's directory."""
        self._path = path
        # Any recorder of the journal knows this process's writer id.
        self._recorder = Recorder(path)
        self._sinks: dict[str, Callable[..., Any]] = {}
        self._numbers: dict[str, dict[Hashable, int]] = {}
        self._thread: threading.Thread | None = None

    def add(self, callback: Callable[..., Any]) -> str:
        """Registers a callback, and returns the name of its sink.

        Functions made in a loop, or one for each request, go by one name and are still not the same: each later one
        gets a number, so that an id never reaches another's callback. The oldest of very many are let go; their ids
        then wait in the journal.
        """
        name = sinks.sink_name(callback)
        numbers = self._numbers.setdefault(name, {})
        kind = None if sinks.is_importable(callback) else sinks.same_as(callback)
        number = numbers.setdefault(kind, next(reversed(numbers.values()), 0) + 1)
        self._sinks[sinks.numbered(name, number)] = callback
        if len(numbers) > _MOST:
            del self._sinks[sinks.numbered(name, numbers.pop(next(iter(numbers))))]
        return sinks.numbered(name, number)

    def ensure(self) -> None:
        """Sees to it that the thread runs, also in a forked child. Cheap; called with every recorded call."""
        if self._is_running():
            return
        with _lock:
            if self._is_running():
                return
            thread = threading.Thread(target=self._run, name="plsync-deliver", daemon=True)
            try:
                thread.start()
            except RuntimeError:  # no thread to be had, or the interpreter is closing: a later process delivers
                _log.warning("plsync could not start the thread that delivers request ids", exc_info=True)
            self._thread = thread

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        doorbell = os.path.join(self._path, "doorbell")
        idle = threading.Event()
        seen: tuple[int, int] | None = None
        rounds = 0
        while True:
            ring = _stat(doorbell)
            rounds += 1
            if ring is not None and (ring != seen or rounds * _POLL_SECONDS >= _REVISIT_SECONDS):
                seen, rounds = ring, 0
                try:
                    self._deliver()
                except Exception:
                    # The entries stay in the journal; the next ring or visit tries again.
                    _log.warning("plsync could not deliver request ids from %s", self._path, exc_info=True)
            idle.wait(_POLL_SECONDS)

    def _deliver(self) -> None:
        from plsync.journal import Journal  # noqa: PLC0415 - recording alone needs neither
        from plsync.sync.callbacks import deliver  # noqa: PLC0415

        with Journal.open(self._path) as journal:
            deliver(journal, dict(self._sinks), self._recorder.writer_id)


def _stat(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:  # nobody has stored a request id yet
        return None
    return found.st_mtime_ns, found.st_size


_deliverers: dict[str, Deliverer] = {}
_lock = threading.Lock()


def attach(path: str, callback: Callable[..., Any]) -> tuple[Deliverer, str]:
    """Registers a callback with this process's deliverer of the journal at ``path``; also returns its sink's name."""
    with _lock:
        deliverer = _deliverers.get(path)
        if deliverer is None:
            deliverer = _deliverers[path] = Deliverer(path)
        return deliverer, deliverer.add(callback)


def _renew_lock() -> None:
    # In a forked child the lock may be held by a thread that no longer exists.
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
