"""Request ids on their way back to the application: no sink waits for another, and sending waits for none.

How often, when and where functions are called is in ``docs/guarantees/callbacks.md``.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from plsync._common.clock import now_ms
from plsync.callbacks.invoke import Call, FunctionCall
from plsync.callbacks.pool import Pool
from plsync.callbacks.resolve import Functions, import_sink
from plsync.callbacks.sinks import COMMAND
from plsync.callbacks.worker import MAX_ATTEMPTS, DeliveryReport, Worker
from plsync.errors import JournalError, SinkUnavailable
from plsync.journal.doorbell import Doorbell

if TYPE_CHECKING:
    from plsync.callbacks.command import Command
    from plsync.journal.journal import Journal

__all__ = ["MAX_ATTEMPTS", "Deliveries", "DeliveryReport", "deliver", "import_sink"]

# Seconds. Without a ring the journal is looked at so often, for entries of processes that have died.
_REVISIT: Final = 30.0
# While a call runs: its neighbours are stored, its lease is extended, and it is noticed when it takes long.
_TEND: Final = 1.0
_LOOK: Final = 0.02

_log = logging.getLogger(__name__)


class Deliveries:
    """Delivers the request ids of one journal, until it is stopped.

    Nothing here waits for a callback, except :meth:`finish` and, for as long as it is told to, :meth:`stop`.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        functions: Functions | None = None,
        command: Command | None = None,
        writer: Callable[[], bytes | None] = lambda: None,
        heard: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare.

        Args:
            journal: stays open until this has stopped.
            functions: finds the functions of sinks; None: no function is called.
            command: run for each request id that comes from the first time on that a journal is delivered with one.
            writer: the writer id of this process, if it records: it delivers for itself, and for processes that are
                gone. Otherwise only for the latter.
            heard: called, by any thread, when there is something for :meth:`reports`.
        """
        self._heard = heard
        self._journal = journal
        self._queue = journal.callbacks
        self._writer = writer
        self._functions = functions
        self._command = command
        self._doorbell = Doorbell(journal.path)
        self.stopping = threading.Event()
        """Set when no further call may begin."""
        self._woken = threading.Event()
        self._lock = threading.Lock()
        self._pool = Pool(self)
        self._report = DeliveryReport()
        self._dispatcher = threading.Thread(target=self.run, name="plsync-deliver", daemon=True)

    # --- for whoever sends ---

    def start(self) -> None:
        """Begin, in a thread.

        Raises:
            JournalError: the journal could not be written to.
        """
        if self._command is not None:
            self._queue.subscribe(COMMAND)
        self._dispatcher.start()

    def ring(self) -> None:
        """There may be new request ids. Those that other processes store are noticed without."""
        self._woken.set()

    def reports(self) -> list[DeliveryReport]:
        """What has been stored since the last call: one report, or none."""
        with self._lock:
            report, self._report = self._report, DeliveryReport()
        return [] if report == DeliveryReport() else [report]

    def finish(self, timeout: float) -> bool:
        """Wait until everything that is due now was tried; whether it was, within so many seconds."""
        self.ring()
        deadline = time.monotonic() + timeout
        while not self._is_done():
            if time.monotonic() >= deadline or self.stopping.wait(_LOOK):
                return False
        return True

    def stop(self, timeout: float) -> bool:
        """Begin no further call, and wait so many seconds for those that run; whether all have ended.

        What was not called is released. A call that goes on keeps its entry leased; it comes back to whoever delivers
        next.
        """
        self.stopping.set()
        self.ring()
        deadline = time.monotonic() + timeout
        workers = self._pool.threads()
        for worker in workers:
            worker.wake()
        threads = [thread for thread in (self._dispatcher, *workers) if thread.ident is not None]
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in threads)

    # --- the dispatching thread ---

    def run(self) -> None:
        """Deliver until stopped, in this thread's time."""
        while not self.stopping.is_set():
            self._woken.clear()
            self._doorbell.rang()
            self._pool.tend()
            try:
                seconds = self._dispatch()
            except Exception as error:
                # What waits is in the journal, and is looked for again.
                self.trouble(error)
                seconds = _REVISIT
            self._doorbell.wait(seconds, self._woken)
        with contextlib.suppress(JournalError):  # where it cannot be written to, leases end by themselves
            for thread in self._pool.threads():
                thread.worker.put_back()
                thread.worker.store()

    def _dispatch(self) -> float:
        """Give every sink that has something due a thread; in how many seconds to look again."""
        due, next_due = self._queue.due(self._writer())
        seconds = _REVISIT if next_due is None else min(_REVISIT, max(0.05, (next_due - now_ms()) / 1000))
        for sink in due:
            if self._may_call(sink) and not self._pool.assign(sink):
                seconds = min(seconds, _TEND)
        return min(seconds, _TEND) if self._pool.is_busy() else seconds

    def _may_call(self, sink: str) -> bool:
        if sink == COMMAND:
            return self._command is not None
        return self._functions is not None and self._functions.may_find(sink)

    def _make_call(self, sink: str) -> Call:
        journal = self._journal.path
        if sink == COMMAND and self._command is not None:
            return self._command.call(journal)
        if self._functions is None:
            raise SinkUnavailable(f"no functions are called here, so not {sink} either")
        return FunctionCall(self._functions.find(sink), journal)

    def _is_done(self) -> bool:
        # First what is due, then who is busy: what is claimed in between is seen with either.
        due, _ = self._queue.due(self._writer())
        return not any(map(self._may_call, due)) and not self._pool.is_busy()

    # --- for the pool ---

    def worker(self, sink: str) -> Worker:
        """A new worker for a sink."""
        make = functools.partial(self._make_call, sink)
        return Worker(sink, make, self._queue, self._writer, told=self.told, stopping=self.stopping)

    def told(self, report: DeliveryReport) -> None:
        """Something was stored."""
        with self._lock:
            self._report.add(report)
        self._heard()

    def trouble(self, error: Exception) -> None:
        """The journal could not be read or written to."""
        if not self.stopping.is_set():
            _log.debug("request ids cannot be delivered", exc_info=error)
            self.told(DeliveryReport(errors=[f"request ids cannot be delivered now, and stay in the journal: {error}"]))


def deliver(journal: Journal, sinks: Mapping[str, Callable[..., Any]], writer: bytes | None = None) -> DeliveryReport:
    """Call the functions of the sinks that have something due, here and now, one after the other.

    Args:
        journal: where the entries wait.
        sinks: callables by sink name; one argument is the id, a second the record.
        writer: this process's own writer id, to be given its own entries; None takes only those of dead processes.
    """
    report = DeliveryReport()
    queue = journal.callbacks
    for sink in [sink for sink in queue.due(writer)[0] if sink in sinks]:
        make = functools.partial(FunctionCall, sinks[sink], journal.path)
        worker = Worker(sink, make, queue, lambda: writer, told=report.add, stopping=threading.Event())
        try:
            worker.drain()
        finally:
            worker.close()
    return report
