"""Delivery in the live process: threads that call ``pl_id_callback`` when a request id has come back.

The journal's doorbell says when. Until it rings for the first time, a program pays for one thread that looks at a file
four times a second; the journal itself is opened then.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Final

from plsync._common.forking import importing
from plsync._native import Recorder
from plsync.callbacks import sinks
from plsync.errors import SinkUnavailable
from plsync.journal.doorbell import Doorbell

if TYPE_CHECKING:
    from plsync.callbacks.dispatcher import Deliveries

__all__ = ["Deliverer", "attach"]

# Callbacks of one name that are kept; a program that makes one for each call would otherwise keep them all.
_MOST: Final = 10_000
_RETRY_SECONDS: Final = 30.0
# What calls that run when the program ends are given to return. Their ids come back if they do not.
_GRACE_SECONDS: Final = 1.0

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
        self.forget()

    def forget(self) -> None:
        """Begin anew: in a forked child its parent's threads do not run."""
        self._thread: threading.Thread | None = None
        self._deliveries: Deliveries | None = None
        self._stopping = threading.Event()

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

    def may_find(self, sink: str) -> bool:
        """Whether a callback of this name is attached."""
        return sink in self._sinks

    def find(self, sink: str) -> sinks.Callback:
        """The callback of a sink of this process.

        Raises:
            SinkUnavailable: none is attached, or no longer.
        """
        callback = self._sinks.get(sink)
        if callback is None:
            raise SinkUnavailable(f"{sink} is not attached in this process")
        return callback

    def ensure(self) -> None:
        """Sees to it that the thread runs, also in a forked child. Cheap; called with every recorded call."""
        if self._is_running():
            return
        with _lock:
            if self._is_running() or self._stopping.is_set():
                return
            thread = threading.Thread(target=self._run, name="plsync-deliver", daemon=True)
            try:
                thread.start()
                self._thread = thread
            except RuntimeError:  # no thread to be had, or the interpreter is closing: a later process delivers
                _log.warning("plsync could not start the thread that delivers request ids", exc_info=True)

    def stop(self, timeout: float) -> None:
        """Begin no further call; wait so many seconds for those that run."""
        self._stopping.set()
        deadline = time.monotonic() + timeout
        if self._deliveries is not None:
            self._deliveries.stop(timeout)
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))

    def _is_running(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _run(self) -> None:
        doorbell, stopping = Doorbell(self._path), self._stopping
        while not doorbell.wait(_RETRY_SECONDS, stopping):
            pass
        while not stopping.is_set():
            try:
                self._deliver()
            except Exception:
                # The entries stay in the journal.
                _log.warning("plsync could not deliver request ids from %s", self._path, exc_info=True)
            stopping.wait(_RETRY_SECONDS)

    def _deliver(self) -> None:
        with importing:
            from plsync.callbacks.dispatcher import Deliveries  # noqa: PLC0415
            from plsync.journal.journal import Journal  # noqa: PLC0415 - recording alone needs neither

        # Never closed: a call that returns after the stop still stores what became of it.
        journal = Journal.open(self._path)
        deliveries = Deliveries(journal, functions=self, writer=lambda: self._recorder.writer_id)
        self._deliveries = deliveries
        # Told to stop before there was something to stop.
        if not self._stopping.is_set():
            deliveries.run()


_deliverers: dict[str, Deliverer] = {}
_lock = threading.Lock()


def attach(path: str, callback: Callable[..., Any]) -> tuple[Deliverer, str]:
    """Registers a callback with this process's deliverer of the journal at ``path``; also returns its sink's name."""
    with _lock:
        deliverer = _deliverers.get(path)
        if deliverer is None:
            deliverer = _deliverers[path] = Deliverer(path)
        return deliverer, deliverer.add(callback)


def _stop() -> None:
    deadline = time.monotonic() + _GRACE_SECONDS
    for deliverer in list(_deliverers.values()):
        deliverer.stop(max(0.0, deadline - time.monotonic()))


def _begin_anew() -> None:
    # In a forked child the lock may be held by a thread that no longer exists.
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    for deliverer in _deliverers.values():
        deliverer.forget()


# After the program's own threads, before the interpreter takes the ground from under ours.
atexit.register(_stop)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
