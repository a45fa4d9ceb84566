"""Calls ``pl_id_callback`` in the program that records: one thread and one object per journal.

The journal's doorbell announces request ids. Until the first ring a program pays for one thread that looks at a file
four times per second. The thread opens the journal after the first ring.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Final

from plsync._common.background import JournalThread, import_guard
from plsync._common.logged import loggable
from plsync._common.native import Recorder
from plsync.callbacks import sinks
from plsync.errors import SinkUnavailable
from plsync.journal.doorbell import Doorbell

if TYPE_CHECKING:
    from plsync.callbacks.dispatcher import CallbackDispatcher

__all__ = ["CallbackThread"]

# Callbacks of one name. A program that makes a callback for each call would otherwise keep all of them.
_MAX_SAME_NAME: Final = 10_000
_RETRY_SECONDS: Final = 30.0
# Calls that run when the program ends have this long to return. The journal keeps the ids of the rest.
_GRACE_SECONDS: Final = 1.0


class CallbackThread(JournalThread):
    """Delivers the request ids of one journal to the callbacks of this process."""

    _name = "plsync-callbacks"
    _purpose = "delivers request ids"
    _log = logging.getLogger("plsync.callbacks")

    def __init__(self, path: str) -> None:
        super().__init__(path)
        # Any recorder of the journal knows this process's writer id.
        self._recorder = Recorder(path)
        self._sinks: dict[str, Callable[..., Any]] = {}
        self._numbers: dict[str, dict[Hashable, int]] = {}

    def _reset(self) -> None:
        self._dispatcher: CallbackDispatcher | None = None

    def add(self, callback: Callable[..., Any]) -> str:
        """Register a callback.

        Functions made in a loop, or one for each request, share a name. Each later one gets a number, so that an id
        never reaches another's callback. Of 10,000 functions with one name the oldest is dropped; its ids then wait in
        the journal.

        Returns:
            The name of its sink.
        """
        name = sinks.sink_name(callback)
        with self._lock:
            numbers = self._numbers.setdefault(name, {})
            kind = None if sinks.is_importable(callback) else sinks.identity(callback)
            number = numbers.setdefault(kind, next(reversed(numbers.values()), 0) + 1)
            self._sinks[sinks.numbered_name(name, number)] = callback
            if len(numbers) > _MAX_SAME_NAME:
                del self._sinks[sinks.numbered_name(name, numbers.pop(next(iter(numbers))))]
        return sinks.numbered_name(name, number)

    def may_find(self, sink: str) -> bool:
        """Whether this process has a callback of this name."""
        return sink in self._sinks

    def find(self, sink: str) -> sinks.Callback:
        """The callback of a sink of this process.

        Raises:
            SinkUnavailable: this process has no such callback, or dropped it.
        """
        callback = self._sinks.get(sink)
        if callback is None:
            raise SinkUnavailable(f"{sink} is not attached in this process")
        return callback

    def stop(self, seconds: float) -> None:
        """Start no further call, and wait at most ``seconds`` for the calls that run."""
        self._stopping.set()
        deadline = time.monotonic() + seconds
        if self._dispatcher is not None:
            self._dispatcher.stop(seconds)
        self._join(deadline - time.monotonic())

    def at_exit(self, since: float) -> None:
        """Stop, within one second for all journals together."""
        self.stop(max(0.0, since + _GRACE_SECONDS - time.monotonic()))

    def _run(self) -> None:
        doorbell, stopping = Doorbell(self.path), self._stopping
        while not doorbell.wait(_RETRY_SECONDS, stopping):
            pass
        while not stopping.is_set():
            try:
                self._deliver()
            except Exception as error:  # the entries stay in the journal
                self._log.warning("plsync could not deliver request ids from %s", self.path, exc_info=loggable(error))
            stopping.wait(_RETRY_SECONDS)

    def _deliver(self) -> None:
        with import_guard:
            from plsync.callbacks.dispatcher import CallbackDispatcher  # noqa: PLC0415
            from plsync.journal.journal import Journal  # noqa: PLC0415 - recording alone needs neither

        # Never closed: a call that returns after the stop still stores its result.
        journal = Journal.open(self.path)
        dispatcher = CallbackDispatcher(journal, functions=self, writer=lambda: self._recorder.writer_id)
        self._dispatcher = dispatcher
        # stop() may have run before there was an object to stop.
        if not self._stopping.is_set():
            dispatcher.run()
