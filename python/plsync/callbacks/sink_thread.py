"""The thread of one sink, and the mailbox through which sink threads report to their dispatcher."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final

from plsync._common.logged import cleaned_line, loggable
from plsync.callbacks.worker import CallbackReport, SinkWorker
from plsync.errors import SinkUnavailable

__all__ = ["Mailbox", "SinkThread"]

# Seconds. An idle thread is kept for the next ids. A thread whose journal failed tries again sooner.
_LINGER: Final = 60.0
_RETRY: Final = 5.0

_log = logging.getLogger("plsync.callbacks")


class Mailbox:
    """The messages that sink threads leave for their dispatcher: reports, errors, and a wake-up.

    Args:
        on_report: called, in any thread, when :meth:`take` has something to return.
    """

    def __init__(self, on_report: Callable[[], None]) -> None:
        self.stopping = threading.Event()
        """Set when no further call may begin."""
        self.woken = threading.Event()
        """Set when the dispatcher should look at the journal now."""
        self._on_report = on_report
        self._lock = threading.Lock()
        self._report = CallbackReport()

    def add(self, report: CallbackReport) -> None:
        """Add a report to the sum that :meth:`take` returns."""
        with self._lock:
            self._report.add(report)
        self._on_report()

    def add_error(self, error: Exception) -> None:
        """Report that the journal could not be read or written, or that no thread could start."""
        if not self.stopping.is_set():
            _log.debug("request ids cannot be delivered", exc_info=loggable(error))
            reason = cleaned_line(str(error))
            self.add(CallbackReport(errors=[f"request ids cannot be delivered now, and stay in the journal: {reason}"]))

    def take(self) -> list[CallbackReport]:
        """The sum of the reports since the last call; empty without a report."""
        with self._lock:
            report, self._report = self._report, CallbackReport()
        return [] if report == CallbackReport() else [report]


class SinkThread(threading.Thread):
    """The thread of one sink's worker. The thread lingers when no id is due, and so does its event loop."""

    def __init__(self, worker: SinkWorker, mailbox: Mailbox) -> None:
        super().__init__(name=f"plsync-callback {worker.sink}", daemon=True)
        self.worker = worker
        self.is_known_stuck = False
        """Whether its long call has been reported."""
        self.has_ended = False
        """Whether it takes no further work."""
        self._mailbox = mailbox
        self._woken = threading.Event()
        self._dismissed = False

    def wake(self) -> None:
        """Look for due ids now."""
        self._woken.set()

    def dismiss(self) -> None:
        """End, and make room for another sink."""
        self._dismissed = True
        self._woken.set()

    def run(self) -> None:
        """Deliver the ids that are due, and new ids while the thread lingers."""
        try:
            while not self._dismissed and not self._mailbox.stopping.is_set():
                self._woken.clear()
                try:
                    self.worker.drain()
                except SinkUnavailable:  # the finder of functions keeps the reason
                    break
                except Exception as error:
                    self._mailbox.add_error(error)
                    self._woken.wait(_RETRY)
                    continue
                if not self._woken.wait(_LINGER):
                    break
        finally:
            self.has_ended = True
            self._mailbox.woken.set()
            try:
                self.worker.close()
            except Exception as error:  # raised by a task or a generator that a callback left behind
                _log.warning("the event loop of a callback did not close", exc_info=loggable(error))
