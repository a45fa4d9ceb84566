"""Sending from within the program that records: ``PromptLayerCallbackHandler(sync="thread")``.

The engine of ``plsync run``, in a thread. One process sends a journal's records at a time: while another does, this
one waits for its turn.
"""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import warnings
from typing import TYPE_CHECKING, Final

from plsync.errors import JournalFormatError, JournalLocked, PlsyncWarning, SyncError

if TYPE_CHECKING:
    from plsync.delivery.runner import Runner

__all__ = ["OnlineSync", "attach"]

# How often a thread that waits for its turn, or for its journal to be readable, looks again, in seconds.
_RETRY: Final = 5.0
# What is left when the program ends has so long to be sent; then the requests at hand have a moment.
_LAST_SECONDS: Final = 2.0

_log = logging.getLogger(__name__)


class OnlineSync:
    """Sends the records of one journal while this process lives."""

    def __init__(self, path: str) -> None:
        """``path``: the journal's directory."""
        self._path = path
        self.forget()

    def forget(self) -> None:
        """Begin anew: in a forked child its parent's thread does not run."""
        self._thread: threading.Thread | None = None
        self._runner: Runner | None = None
        self._ending = threading.Event()
        self._gave_up = False
        self._said: str | None = None

    def ensure(self) -> None:
        """Sees to it that the thread runs, also in a forked child. Cheap; called with every recorded call."""
        if self._gave_up or (self._thread is not None and self._thread.is_alive()):
            return
        with _lock:
            if self._ending.is_set() or (self._thread is not None and self._thread.is_alive()):
                return
            thread = threading.Thread(target=self._run, name="plsync-sync", daemon=True)
            try:
                thread.start()
                self._thread = thread
            except RuntimeError:  # no thread to be had, or the interpreter is closing: what waits is sent later
                _log.warning("plsync could not start the thread that sends records", exc_info=True)

    def end(self, seconds: float) -> None:
        """Send what is left, for so long; then stop."""
        self._ending.set()
        deadline = time.monotonic() + seconds
        if (runner := self._runner) is not None:
            runner.finish()
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - time.monotonic()))
        if (runner := self._runner) is not None:
            runner.stop()
        if self._thread is not None:
            self._thread.join(_LAST_SECONDS)

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                self._send()
            except JournalLocked:
                _log.debug("another process is sending from %s", self._path)
            except (SyncError, JournalFormatError) as error:
                self._give_up(str(error))
                return
            except Exception as error:
                # A disk that is full, or whatever it is: the records stay in the journal, and it may pass.
                self._say(error)
            self._ending.wait(_RETRY)

    def _send(self) -> None:
        # An HTTP client is slow to import, and only this thread needs it.
        from plsync.delivery.lock import sole_sender  # noqa: PLC0415
        from plsync.delivery.policy import RULES, Policy  # noqa: PLC0415
        from plsync.delivery.runner import Runner  # noqa: PLC0415
        from plsync.delivery.wake import Wake  # noqa: PLC0415
        from plsync.journal.journal import Journal  # noqa: PLC0415
        from plsync.promptlayer.client import PromptLayerClient, refusal  # noqa: PLC0415

        policy = Policy()
        with (
            Journal.open(self._path, create=True) as journal,
            sole_sender(journal.path) as lock,
            PromptLayerClient.of_environment(policy.timeout) as client,
            Wake(journal.path) as wake,
        ):
            self._runner = runner = Runner(journal, client, policy, wake)
            if self._ending.is_set():
                runner.finish()
            try:
                for _ in runner.forever():
                    lock.tell("sending" if runner.halt is None else f"waiting: {runner.halt.reason}")
            finally:
                self._runner = None
            if runner.halt is not None and RULES[type(runner.halt)].then == "stop" and not self._ending.is_set():
                raise refusal(runner.halt, client.where)

    def _say(self, error: Exception) -> None:
        """Say once what goes wrong, however often it does."""
        if str(error) != self._said:
            self._said = str(error)
            _log.warning("plsync cannot send from %s, and tries again", self._path, exc_info=error)

    def _give_up(self, reason: str) -> None:
        """Say once why nothing is sent; records go on to be kept."""
        self._gave_up = True
        warnings.warn(f"records are kept, and not sent by this program: {reason}", PlsyncWarning, stacklevel=2)


_online: dict[str, OnlineSync] = {}
_lock = threading.Lock()


def attach(path: str) -> OnlineSync:
    """The one of this process for the journal at ``path``."""
    with _lock:
        return _online.setdefault(path, OnlineSync(path))


def _end() -> None:
    for online in list(_online.values()):
        online.end(_LAST_SECONDS)


def _begin_anew() -> None:
    # In a forked child the lock may be held by a thread that no longer exists.
    global _lock  # noqa: PLW0603
    _lock = threading.Lock()
    for online in _online.values():
        online.forget()


atexit.register(_end)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_anew)
