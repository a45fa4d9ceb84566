"""Delivers request ids to one sink: claims entries, calls the sink for each, settles them, and retries failed calls."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from plsync._common.clock import now_ms
from plsync._common.logged import cleaned_line, loggable, reason_of
from plsync._terminal import visible_line
from plsync.callbacks.invoke import Interrupted, Undelivered
from plsync.journal.callbacks import CallbackQueue, ClaimedCallback, FailedCallback

if TYPE_CHECKING:
    from plsync.callbacks.invoke import SinkCall

__all__ = ["LONG_CALL", "MAX_ATTEMPTS", "CallbackReport", "SinkWorker"]

MAX_ATTEMPTS: Final = 10
LONG_CALL: Final = 30.0
"""Seconds after which other entries no longer wait for a call."""

# Calls that returned are settled together, at this interval: after a crash all unsettled ones are called again.
_SETTLE_EVERY: Final = 0.2
# The waits before a retry grow fourfold, from 5 s to 10 h. The last attempt is more than a day after the first.
_FIRST_WAIT: Final = 5.0
_GROWTH: Final = 4.0
_LONGEST_WAIT: Final = 36_000.0
_MAX_ERRORS: Final = 100

_log = logging.getLogger("plsync.callbacks")


@dataclass
class CallbackReport:
    """The result of calling sinks with request ids."""

    delivered: int = 0
    """Calls that returned."""
    failed: int = 0
    """Calls that raised, to be retried."""
    dead: int = 0
    """Calls that raised for the last time. The journal keeps the entry with its error."""
    errors: list[str] = field(default_factory=list)
    """One line for each failure, for the first 100."""

    def add(self, other: CallbackReport) -> None:
        """Add the numbers and errors of another report."""
        self.delivered += other.delivered
        self.failed += other.failed
        self.dead += other.dead
        self.errors += other.errors[: _MAX_ERRORS - len(self.errors)]


class SinkWorker:
    """Delivers to one sink. The thread that calls :meth:`drain` makes the calls; any thread may call the rest.

    Args:
        sink: the sink's name.
        make_call: makes the callable of the sink, in the thread that calls it.
        queue: the callback queue of the journal.
        writer: returns the writer id of this process; None if it does not record.
        on_report: called with a report after each settlement.
        stopping: once it is set no further call begins.
    """

    def __init__(
        self,
        sink: str,
        make_call: Callable[[], SinkCall],
        queue: CallbackQueue,
        writer: Callable[[], bytes | None],
        *,
        on_report: Callable[[CallbackReport], None],
        stopping: threading.Event,
    ) -> None:
        self.sink = sink
        self._make_call = make_call
        self._call: SinkCall | None = None
        self._queue = queue
        self._writer = writer
        self._on_report = on_report
        self._stopping = stopping
        self._lock = threading.Lock()
        self._draining = False
        self._waiting: deque[ClaimedCallback] = deque()
        self._calling: ClaimedCallback | None = None
        self._called_at = 0.0
        self._done: list[int] = []
        self._failed: list[FailedCallback] = []
        self._settled_at = 0.0
        self._is_failing = False

    def drain(self) -> None:
        """Deliver until no entry is due.

        Raises:
            SinkUnavailable: this process cannot call the sink.
            JournalError: the journal could not be read or written. The worker keeps unsettled results for the next
                attempt.
        """
        # Set before the first claim: an entry that is being claimed is no longer due, and not yet in `_waiting`.
        self._draining = True
        try:
            self.settle()
            self._call = self._call or self._make_call()
            while not self._stopping.is_set():
                # Entries of an earlier claim come first: the journal may have failed while they were delivered.
                self._deliver_all(self._call)
                claimed = self._queue.claim(self.sink, self._writer())
                if not claimed:
                    break
                with self._lock:
                    self._waiting.extend(claimed)
            self.release()
            self.settle()
        finally:
            self._draining = False

    def close(self) -> None:
        """Release the resources of the sink's callable, in the thread that called it."""
        if self._call is not None:
            self._call.close()

    def settle(self) -> None:
        """Store the results of finished calls. After an error of the journal they are kept for the next attempt."""
        with self._lock:
            done, failed = self._done, self._failed
            self._done, self._failed = [], []
            self._settled_at = time.monotonic()
        if not done and not failed:
            return
        try:
            self._queue.settle(self.sink, done=done, failed=failed)
        except BaseException:
            with self._lock:
                self._done, self._failed = done + self._done, failed + self._failed
            raise
        dead = sum(failure.dead for failure in failed)
        errors = [f"{self.sink} {failure.error}" for failure in failed]
        self._on_report(CallbackReport(len(done), len(failed) - dead, dead, errors))

    def release(self) -> None:
        """Release the entries that were claimed and not called yet, for another worker."""
        with self._lock:
            released = [entry.seq for entry in self._waiting]
            self._waiting.clear()
        if released:
            self._queue.settle(self.sink, released=released)

    def extend(self) -> None:
        """Extend the leases of this worker's entries."""
        with self._lock:
            seqs = [entry.seq for entry in self._waiting] + self._done + [entry.seq for entry in self._failed]
            seqs += [] if self._calling is None else [self._calling.seq]
        if seqs:
            self._queue.extend(self.sink, seqs)

    @property
    def is_busy(self) -> bool:
        """Whether the worker claims entries, or has an entry that is not settled."""
        with self._lock:
            return bool(self._draining or self._calling or self._waiting or self._done or self._failed)

    @property
    def is_stuck(self) -> bool:
        """Whether the present call takes longer than ``LONG_CALL``, so that other entries must not wait for it."""
        with self._lock:
            return self._calling is not None and time.monotonic() - self._called_at > LONG_CALL

    def _deliver_all(self, call: SinkCall) -> None:
        while (entry := self._next()) is not None:
            self._deliver(entry, call)
            if time.monotonic() - self._settled_at > _SETTLE_EVERY:
                self.settle()
        self.settle()

    def _next(self) -> ClaimedCallback | None:
        with self._lock:
            if self._stopping.is_set() or not self._waiting:
                return None
            self._calling, self._called_at = self._waiting.popleft(), time.monotonic()
            return self._calling

    def _deliver(self, entry: ClaimedCallback, call: SinkCall) -> None:
        failed: FailedCallback | None = None
        try:
            if entry.attempts >= MAX_ATTEMPTS:
                error = f"was called {entry.attempts} times, and each time the process ended before the call did"
                failed = FailedCallback(entry.seq, error, 0, dead=True)
            else:
                call(entry.record, self._stopping)
        except Interrupted:
            with self._lock:
                self._calling = None
                self._waiting.appendleft(entry)
            return
        except KeyboardInterrupt:
            # In the main thread it is the user's Ctrl-C. The entry is delivered again after its lease.
            if threading.current_thread() is threading.main_thread():
                raise
            failed = _failure(entry, KeyboardInterrupt())
        except BaseException as error:  # SystemExit and CancelledError too: a callback must not end plsync's thread
            self._log_first(error)
            failed = _failure(entry, error)
        with self._lock:
            self._calling = None
            if failed is None:
                self._is_failing = False
                self._done.append(entry.seq)
            else:
                self._failed.append(failed)

    def _log_first(self, error: BaseException) -> None:
        """Log the traceback of the first of several failures in a row."""
        if not self._is_failing and not isinstance(error, Undelivered):
            _log.warning("%s raised; plsync retries the call later", visible_line(self.sink), exc_info=loggable(error))
        self._is_failing = True


def _failure(entry: ClaimedCallback, error: BaseException) -> FailedCallback:
    attempts = entry.attempts + 1
    wait = min(_FIRST_WAIT * _GROWTH**entry.attempts, _LONGEST_WAIT)
    wait *= random.uniform(0.8, 1.0)  # noqa: S311 - spreads load, guards nothing
    return FailedCallback(entry.seq, _reason(error), now_ms() + int(wait * 1000), attempts >= MAX_ATTEMPTS)


def _reason(error: BaseException) -> str:
    """One line for the journal, of 500 characters at most, without API keys and passwords."""
    return cleaned_line(str(error)) if isinstance(error, Undelivered) else f"raised {reason_of(error)}"[:500]
