"""Request ids on their way back to the application: no sink waits for another, and sending waits for none.

How often, when and where functions are called is in ``docs/callbacks.md``.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from plsync.doorbell import Doorbell
from plsync.errors import JournalError, SinkUnavailable
from plsync.sinks import COMMAND
from plsync.sync.calling import Call, FunctionCall
from plsync.sync.command import Command, CommandCall
from plsync.sync.delivery import LONG_CALL, MAX_ATTEMPTS, DeliveryReport, Worker
from plsync.sync.entries import Entries
from plsync.sync.functions import Functions, Importable, import_sink

if TYPE_CHECKING:
    from plsync.journal import Journal

__all__ = ["MAX_ATTEMPTS", "Callbacks", "Deliveries", "DeliveryReport", "deliver", "import_sink"]

# Threads that deliver, and all threads. Where a call takes long its sink gets another one, up to this many.
_MOST_WORKING: Final = 16
_MOST_THREADS: Final = 80
_MOST_OF_SINK: Final = 4
# Seconds. Without a ring the journal is looked at so often, for entries of processes that have died.
_REVISIT: Final = 30.0
# While a call runs: its neighbours are stored, its lease is extended, and it is noticed when it takes long.
_TEND: Final = 1.0
_EXTEND: Final = 10.0
# A thread without work is kept for the next ids.
_LINGER: Final = 60.0
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
    ) -> None:
        """Prepare.

        Args:
            journal: stays open until this has stopped.
            functions: finds the functions of sinks; None: no function is called.
            command: run for each request id that comes from the first time on that a journal is delivered with one.
            writer: the writer id of this process, if it records: it delivers for itself, and for processes that are
                gone. Otherwise only for the latter.
        """
        self._entries = Entries(journal, writer)
        self._functions = functions
        self._command = command
        self._doorbell = Doorbell(journal.path)
        self.stopping = threading.Event()
        """Set when no further call may begin."""
        self._woken = threading.Event()
        self._lock = threading.Lock()
        self._threads: list[_Thread] = []
        self._report = DeliveryReport()
        self._extended = time.monotonic()
        self._dispatcher = threading.Thread(target=self.run, name="plsync-deliver", daemon=True)

    # --- for whoever sends ---

    def start(self) -> None:
        """Begin, in a thread.

        Raises:
            JournalError: the journal could not be written to.
        """
        if self._command is not None:
            self._entries.journal.callbacks.give_every_ack(COMMAND)
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
        workers = self._all()
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
            self._tend()
            try:
                seconds = self._dispatch()
            except Exception as error:
                # What waits is in the journal, and is looked for again.
                self.trouble(error)
                seconds = _REVISIT
            self._doorbell.wait(seconds, self._woken)
        with contextlib.suppress(JournalError):  # where it cannot be written to, leases end by themselves
            for thread in self._all():
                thread.worker.put_back()
                thread.worker.store()

    def _dispatch(self) -> float:
        """Give every sink that has something due a thread; in how many seconds to look again."""
        due, following = self._entries.due()
        seconds = _REVISIT if following is None else min(_REVISIT, max(0.05, following))
        for sink in due:
            if self._may_call(sink) and not self._assign(sink):
                seconds = min(seconds, _TEND)
        return min(seconds, _TEND) if any(thread.worker.is_busy for thread in self._all()) else seconds

    def _may_call(self, sink: str) -> bool:
        if sink == COMMAND:
            return self._command is not None
        return self._functions is not None and self._functions.may_find(sink)

    def _make_call(self, sink: str) -> Call:
        journal = self._entries.journal.path
        if sink == COMMAND and self._command is not None:
            return CommandCall(self._command, journal)
        if self._functions is None:
            raise SinkUnavailable(f"no functions are called here, so not {sink} either")
        return FunctionCall(self._functions.find(sink), journal)

    def _assign(self, sink: str) -> bool:
        """See to it that a thread delivers to the sink; False if there is none to be had now."""
        threads = self._all()
        theirs = [thread for thread in threads if thread.worker.sink == sink]
        for thread in theirs:
            if not thread.worker.is_stuck:
                thread.wake()
                return True
        if len(theirs) >= _MOST_OF_SINK or len(threads) >= _MOST_THREADS:
            return False
        working = [thread for thread in threads if not thread.worker.is_stuck]
        if len(working) >= _MOST_WORKING:
            for thread in working:
                if not thread.worker.is_busy:
                    thread.dismiss()
                    break
            return False
        make = functools.partial(self._make_call, sink)
        added = _Thread(self, Worker(sink, make, self._entries, self.told, self.stopping))
        with self._lock:
            self._threads.append(added)
        try:
            added.start()
        except RuntimeError as error:  # no thread to be had, or the interpreter is closing
            self.left(added)
            self.trouble(error)
            return False
        return True

    def _tend(self) -> None:
        """See to the threads whose calls take a while."""
        extend = time.monotonic() - self._extended >= _EXTEND
        if extend:
            self._extended = time.monotonic()
        for thread in self._all():
            try:
                if thread.worker.is_stuck:
                    self._go_on_without(thread)
                thread.worker.store()
                if extend:
                    thread.worker.extend()
            except Exception as error:
                self.trouble(error)

    def _go_on_without(self, thread: _Thread) -> None:
        """Let others have what a thread has not called yet, since its call takes long."""
        thread.worker.put_back()
        if not thread.is_known_stuck:
            thread.is_known_stuck = True
            line = f"{thread.worker.sink}: a call takes more than {LONG_CALL:.0f} s; others go on without it"
            _log.warning(line)
            self.told(DeliveryReport(errors=[line]))

    def _all(self) -> list[_Thread]:
        with self._lock:
            return list(self._threads)

    def _is_done(self) -> bool:
        # First what is due, then who is busy: what is claimed in between is seen with either.
        due, _ = self._entries.due()
        return not any(map(self._may_call, due)) and not any(thread.worker.is_busy for thread in self._all())

    # --- for the threads ---

    def told(self, report: DeliveryReport) -> None:
        """Something was stored."""
        with self._lock:
            self._report.add(report)

    def left(self, thread: _Thread) -> None:
        """A thread has ended."""
        with self._lock:
            if thread in self._threads:
                self._threads.remove(thread)
        self.ring()

    def trouble(self, error: Exception) -> None:
        """The journal could not be read or written to."""
        if not self.stopping.is_set():
            _log.debug("request ids cannot be delivered", exc_info=error)
            self.told(DeliveryReport(errors=[f"request ids cannot be delivered now, and stay in the journal: {error}"]))


class _Thread(threading.Thread):
    """One worker's thread. It stays for a while when nothing is due, and so does the event loop of async callbacks."""

    def __init__(self, deliveries: Deliveries, worker: Worker) -> None:
        super().__init__(name=f"plsync-deliver {worker.sink}", daemon=True)
        self.worker = worker
        self.is_known_stuck = False
        self._deliveries = deliveries
        self._woken = threading.Event()
        self._dismissed = False

    def wake(self) -> None:
        """There may be something due."""
        self._woken.set()

    def dismiss(self) -> None:
        """Make room for another sink."""
        self._dismissed = True
        self._woken.set()

    def run(self) -> None:
        """Deliver what is due, and what comes within a while."""
        stopping = self._deliveries.stopping
        try:
            while not self._dismissed and not stopping.is_set():
                self._woken.clear()
                try:
                    self.worker.drain()
                except SinkUnavailable:  # whoever looked for it knows why
                    break
                except Exception as error:
                    self._deliveries.trouble(error)
                if not self._woken.wait(_LINGER):
                    break
        finally:
            self._deliveries.left(self)
            self.worker.close()


def deliver(journal: Journal, sinks: Mapping[str, Callable[..., Any]], writer: bytes | None = None) -> DeliveryReport:
    """Call the functions of the sinks that have something due, here and now, one after the other.

    Args:
        journal: where the entries wait.
        sinks: callables by sink name; one argument is the id, a second the record.
        writer: this process's own writer id, to be given its own entries; None takes only those of dead processes.
    """
    report = DeliveryReport()
    entries = Entries(journal, lambda: writer)
    for sink in [sink for sink in entries.due()[0] if sink in sinks]:
        make = functools.partial(FunctionCall, sinks[sink], journal.path)
        worker = Worker(sink, make, entries, report.add, threading.Event())
        try:
            worker.drain()
        finally:
            worker.close()
    return report


class Callbacks:
    """Delivers to sinks that this process can import, and remembers why it cannot import the others."""

    def __init__(self, journal: Journal) -> None:
        """``journal``: where request ids wait for processes that are gone."""
        self._journal = journal
        self._functions = Importable()

    @property
    def unavailable(self) -> dict[str, str]:
        """Why sinks have no function here, by name."""
        return self._functions.unavailable

    def deliver(self) -> DeliveryReport:
        """One round, in this thread."""
        found = {}
        for entry in self._journal.callbacks.waiting():
            with contextlib.suppress(SinkUnavailable):
                if entry.waiting:
                    found[entry.sink] = self._functions.find(entry.sink)
        return deliver(self._journal, found)
