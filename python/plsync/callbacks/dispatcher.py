"""Delivers the request ids of a journal: one thread finds the sinks that are due, and starts a thread for each sink.

No sink waits for another, and the sender waits for none. ``worker.py`` calls a sink, and sets the time of each retry.
``docs/guarantees/callbacks.md`` has the guarantees.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from plsync._common.clock import now_ms
from plsync._terminal import visible_line
from plsync.callbacks.invoke import FunctionCall, SinkCall
from plsync.callbacks.sink_thread import Mailbox, SinkThread
from plsync.callbacks.sinks import COMMAND
from plsync.callbacks.worker import LONG_CALL, CallbackReport, SinkWorker
from plsync.errors import JournalError, SinkUnavailable
from plsync.journal.doorbell import Doorbell

if TYPE_CHECKING:
    from plsync.callbacks.command import Command
    from plsync.callbacks.resolve import FunctionFinder
    from plsync.journal.journal import Journal

__all__ = ["CallbackDispatcher"]

# All times in seconds. Without a ring the journal is read this often, for the entries of processes that have died.
_REVISIT: Final = 30.0
# While a call runs, this often: settle the sink's finished calls, extend leases, and look for long calls.
_MAINTENANCE_INTERVAL: Final = 1.0
_POLL: Final = 0.02
# Leases are extended well before they end.
_EXTEND: Final = 10.0

# Threads with short calls, all threads, and threads of one sink.
_MAX_WORKING: Final = 16
_MAX_THREADS: Final = 80
_MAX_OF_SINK: Final = 4

_log = logging.getLogger("plsync.callbacks")


class CallbackDispatcher:
    """Delivers the request ids of one journal until it is stopped.

    Only :meth:`finish` and :meth:`stop` wait for callbacks, each for a limited time.

    Args:
        journal: has to stay open until the dispatcher has stopped.
        functions: finds the functions of sinks; None to call no function.
        command: is run for each request id from the first time that a journal is delivered with a command.
        writer: returns the writer id of this process, if it records. The dispatcher then delivers the ids of this
            process and of processes that have ended. Without a writer id it delivers only for ended processes.
        on_report: called, in any thread, when :meth:`reports` has something to return.
    """

    def __init__(
        self,
        journal: Journal,
        *,
        functions: FunctionFinder | None = None,
        command: Command | None = None,
        writer: Callable[[], bytes | None] = lambda: None,
        on_report: Callable[[], None] = lambda: None,
    ) -> None:
        self._journal = journal
        self._queue = journal.callbacks
        self._writer = writer
        self._functions = functions
        self._command = command
        self._doorbell = Doorbell(journal.path)
        self._mailbox = Mailbox(on_report)
        self.stopping = self._mailbox.stopping
        """Set when no further call may begin."""
        self._threads: tuple[SinkThread, ...] = ()
        self._extended_at = time.monotonic()
        self._is_started = False
        self._dispatching = threading.Thread(target=self.run, name="plsync-dispatch", daemon=True)

    # --- for any thread ---

    def start(self) -> None:
        """Start the dispatching thread.

        Raises:
            JournalError: the journal could not be written.
        """
        if self._command is not None:
            self._queue.subscribe(COMMAND)
        self._is_started = True
        self._start_dispatching()

    def ring(self) -> None:
        """Announce new request ids of this process. For other processes the doorbell rings."""
        self._mailbox.woken.set()

    def reports(self) -> list[CallbackReport]:
        """The results since the last call: one report, or none."""
        self._start_dispatching()
        return self._mailbox.take()

    def _start_dispatching(self) -> None:
        if self._is_started and self._dispatching.ident is None and not self.stopping.is_set():
            # The system may have no thread now. The next call tries again.
            with contextlib.suppress(RuntimeError):
                self._dispatching.start()

    def finish(self, timeout: float) -> bool:
        """Wait until every id that is due now was tried. Returns False after ``timeout`` seconds."""
        self.ring()
        deadline = time.monotonic() + timeout
        while not self._is_done():
            if time.monotonic() >= deadline or self.stopping.wait(_POLL):
                return False
        return True

    def stop(self, timeout: float) -> bool:
        """Begin no further call, and wait up to ``timeout`` seconds for running calls. Returns whether all have ended.

        Entries that were not called are released. The entry of a running call stays leased, and is delivered again
        after its lease if the process ends first.
        """
        self.stopping.set()
        self.ring()
        deadline = time.monotonic() + timeout
        sink_threads = self._live_threads()
        for sink_thread in sink_threads:
            sink_thread.wake()
        threads: list[threading.Thread] = [self._dispatching, *sink_threads]
        started = [thread for thread in threads if thread.ident is not None]
        for thread in started:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in started)

    # --- for the dispatching thread ---

    def run(self) -> None:
        """Deliver until stopped, in the calling thread."""
        while not self.stopping.is_set():
            self._mailbox.woken.clear()
            self._doorbell.has_rung()  # earlier rings are noticed: the journal is read now
            self._maintain()
            try:
                seconds = self._dispatch()
            except Exception as error:
                # The entries are in the journal, and are read again.
                self._mailbox.add_error(error)
                seconds = _REVISIT
            self._doorbell.wait(seconds, self._mailbox.woken)
        with contextlib.suppress(JournalError):  # leases then end by time
            for thread in self._live_threads():
                thread.worker.release()
                thread.worker.settle()

    def _dispatch(self) -> float:
        """Wake or start a thread for every sink that is due. Returns the seconds until the next look at the journal."""
        due, next_due = self._queue.due(self._writer())
        seconds = _REVISIT if next_due is None else min(_REVISIT, max(0.05, (next_due - now_ms()) / 1000))
        for sink in due:
            if self._may_call(sink) and not self._assign(sink):
                seconds = min(seconds, _MAINTENANCE_INTERVAL)
        return min(seconds, _MAINTENANCE_INTERVAL) if self._is_busy() else seconds

    def _assign(self, sink: str) -> bool:
        """Wake or start a thread for a sink. Returns False when the limits allow none now."""
        threads = self._live_threads()
        of_sink = [thread for thread in threads if thread.worker.sink == sink]
        for thread in of_sink:
            if not thread.worker.is_stuck:
                thread.wake()
                return True
        if len(of_sink) >= _MAX_OF_SINK or len(threads) >= _MAX_THREADS:
            return False
        working = [thread for thread in threads if not thread.worker.is_stuck]
        if len(working) >= _MAX_WORKING:
            idle = next((thread for thread in working if not thread.worker.is_busy), None)
            if idle is not None:
                idle.dismiss()
            return False
        return self._start_thread(sink)

    def _start_thread(self, sink: str) -> bool:
        make_call = functools.partial(self._make_call, sink)
        worker = SinkWorker(
            sink, make_call, self._queue, self._writer, on_report=self._mailbox.add, stopping=self.stopping
        )
        thread = SinkThread(worker, self._mailbox)
        try:
            self._threads = (*self._live_threads(), thread)
            thread.start()
        except RuntimeError as error:  # the system has no more threads, or the interpreter is closing
            self._threads = tuple(known for known in self._threads if known is not thread)
            self._mailbox.add_error(error)
            return False
        return True

    def _maintain(self) -> None:
        """Settle finished calls, and extend the leases of the rest, also of threads whose calls take long."""
        extend = time.monotonic() - self._extended_at >= _EXTEND
        if extend:
            self._extended_at = time.monotonic()
        for thread in self._live_threads():
            try:
                if thread.worker.is_stuck:
                    self._release_waiting(thread)
                else:
                    thread.is_known_stuck = False
                thread.worker.settle()
                if extend:
                    thread.worker.extend()
            except Exception as error:
                self._mailbox.add_error(error)

    def _release_waiting(self, thread: SinkThread) -> None:
        """Let other threads have the entries that wait behind a long call."""
        thread.worker.release()
        if not thread.is_known_stuck:
            thread.is_known_stuck = True
            sink = visible_line(thread.worker.sink)
            line = f"{sink}: a call takes more than {LONG_CALL:g} s; other ids go on without it"
            _log.warning(line)
            self._mailbox.add(CallbackReport(errors=[line]))

    def _live_threads(self) -> list[SinkThread]:
        return [thread for thread in self._threads if not thread.has_ended]

    def _is_busy(self) -> bool:
        return any(thread.worker.is_busy for thread in self._live_threads())

    def _may_call(self, sink: str) -> bool:
        if sink == COMMAND:
            return self._command is not None
        return self._functions is not None and self._functions.may_find(sink)

    def _make_call(self, sink: str) -> SinkCall:
        journal = self._journal.path
        if sink == COMMAND and self._command is not None:
            return self._command.call(journal)
        if self._functions is None:
            raise SinkUnavailable(f"this process calls no functions, so it does not call {sink}")
        return FunctionCall(self._functions.find(sink), journal)

    def _is_done(self) -> bool:
        # In this order: an entry that is claimed in between is seen as due or as busy.
        due, _ = self._queue.due(self._writer())
        return not any(map(self._may_call, due)) and not self._is_busy()
