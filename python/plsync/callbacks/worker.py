"""Delivering to one sink: entries are claimed, its function is called for each, and what became of them is stored."""

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
from plsync._common.redaction import without_api_keys
from plsync.callbacks.invoke import Interrupted, Undelivered
from plsync.journal.callbacks import CallbackQueue, ClaimedCallback, FailedDelivery

if TYPE_CHECKING:
    from plsync.callbacks.invoke import Call

__all__ = ["LONG_CALL", "MAX_ATTEMPTS", "DeliveryReport", "Worker"]

MAX_ATTEMPTS: Final = 10
LONG_CALL: Final = 30.0
"""Seconds after which others no longer wait for a call."""

# Calls that returned are stored together, but not kept back for longer: after a crash they would be called again.
_STORE_EVERY: Final = 0.2
# Waits between attempts grow by four from 5 s to 10 h: the last is more than a day after the first.
_FIRST_WAIT: Final = 5.0
_GROWTH: Final = 4.0
_LONGEST_WAIT: Final = 36_000.0
_MOST_ERRORS: Final = 100

_logger = logging.getLogger(__name__)


@dataclass
class DeliveryReport:
    """What became of request ids on their way to their callbacks."""

    delivered: int = 0
    """Calls that returned."""
    failed: int = 0
    """Calls that raised; they are tried again later."""
    dead: int = 0
    """Calls that raised for the last time; the entry is kept with its error."""
    errors: list[str] = field(default_factory=list)
    """What they raised, one line each; of very many the first."""

    def add(self, other: DeliveryReport) -> None:
        """Take in what another report says."""
        self.delivered += other.delivered
        self.failed += other.failed
        self.dead += other.dead
        self.errors += other.errors[: _MOST_ERRORS - len(self.errors)]


class Worker:
    """Delivers to one sink. Calls are made by the thread that calls :meth:`drain`; the rest is for any thread."""

    def __init__(
        self,
        sink: str,
        make: Callable[[], Call],
        queue: CallbackQueue,
        writer: Callable[[], bytes | None],
        *,
        told: Callable[[DeliveryReport], None],
        stopping: threading.Event,
    ) -> None:
        """Prepare.

        Args:
            sink: whose entries it delivers.
            make: makes what calls the sink, in the thread that will.
            queue: where they wait.
            writer: the writer id of this process, if it records; None for one that does not.
            told: is given what was stored.
            stopping: once it is set no further call begins.
        """
        self.sink = sink
        self._make = make
        self._call: Call | None = None
        self._queue = queue
        self._writer = writer
        self._told = told
        self._stopping = stopping
        self._lock = threading.Lock()
        self._draining = False
        self._left: deque[ClaimedCallback] = deque()
        self._calling: ClaimedCallback | None = None
        self._called_at = 0.0
        self._done: list[int] = []
        self._failed: list[FailedDelivery] = []
        self._stored_at = 0.0
        self._is_failing = False

    def drain(self) -> None:
        """Deliver until nothing is due.

        Raises:
            SinkUnavailable: there is nothing to call here.
            JournalError: the journal could not be read or written to. What is not stored is kept for the next time.
        """
        # Before the first claim: who asks whether anything is left must not see it neither due nor here.
        self._draining = True
        try:
            self.store()
            self._call = self._call or self._make()
            while not self._stopping.is_set():
                # First what is left of before, should the journal have failed in the middle of it.
                self._deliver_all(self._call)
                claimed = self._queue.claim(self.sink, self._writer())
                if not claimed:
                    break
                with self._lock:
                    self._left.extend(claimed)
            self.put_back()
            self.store()
        finally:
            self._draining = False

    def close(self) -> None:
        """Nothing more is delivered by this thread."""
        if self._call is not None:
            self._call.close()

    def store(self) -> None:
        """Store what became of the calls so far. What could not be stored is kept for the next time."""
        with self._lock:
            done, failed = self._done, self._failed
            self._done, self._failed = [], []
            self._stored_at = time.monotonic()
        if not done and not failed:
            return
        try:
            self._queue.settle(self.sink, done=done, failed=failed)
        except BaseException:
            with self._lock:
                self._done, self._failed = done + self._done, failed + self._failed
            raise
        dead = sum(one.dead for one in failed)
        errors = [f"{self.sink} {one.error}" for one in failed]
        self._told(DeliveryReport(len(done), len(failed) - dead, dead, errors))

    def put_back(self) -> None:
        """Release what was claimed and not called yet, for another to take."""
        with self._lock:
            released = [entry.seq for entry in self._left]
            self._left.clear()
        if released:
            self._queue.settle(self.sink, released=released)

    def extend(self) -> None:
        """Keep leased what this worker has."""
        with self._lock:
            seqs = [entry.seq for entry in self._left] + self._done + [entry.seq for entry in self._failed]
            seqs += [] if self._calling is None else [self._calling.seq]
        if seqs:
            self._queue.extend(self.sink, seqs)

    @property
    def is_busy(self) -> bool:
        """Whether it claims, or has something that is not settled."""
        with self._lock:
            return bool(self._draining or self._calling or self._left or self._done or self._failed)

    @property
    def is_stuck(self) -> bool:
        """Whether its call takes so long that others must not wait for it."""
        with self._lock:
            return self._calling is not None and time.monotonic() - self._called_at > LONG_CALL

    def _deliver_all(self, call: Call) -> None:
        while (entry := self._next()) is not None:
            self._deliver(entry, call)
            if time.monotonic() - self._stored_at > _STORE_EVERY:
                self.store()
        self.store()

    def _next(self) -> ClaimedCallback | None:
        with self._lock:
            if self._stopping.is_set() or not self._left:
                return None
            self._calling, self._called_at = self._left.popleft(), time.monotonic()
            return self._calling

    def _deliver(self, entry: ClaimedCallback, call: Call) -> None:
        failed: FailedDelivery | None = None
        try:
            if entry.attempts >= MAX_ATTEMPTS:
                error = f"was called {entry.attempts} times, and each time the process ended before the call did"
                failed = FailedDelivery(entry.seq, error, 0, dead=True)
            else:
                call(entry.record, self._stopping)
        except Interrupted:
            with self._lock:
                self._calling = None
                self._left.appendleft(entry)
            return
        except KeyboardInterrupt:
            # In the main thread it is the user's. The entry comes back when its lease is over.
            if threading.current_thread() is threading.main_thread():
                raise
            failed = _failed(entry, KeyboardInterrupt())
        except BaseException as error:  # also SystemExit and asyncio's CancelledError: the thread is not the callback's
            self._log(error)
            failed = _failed(entry, error)
        with self._lock:
            self._calling = None
            if failed is None:
                self._is_failing = False
                self._done.append(entry.seq)
            else:
                self._failed.append(failed)

    def _log(self, error: BaseException) -> None:
        """Say where it was raised, for the first of several failures in a row."""
        if not self._is_failing and not isinstance(error, Undelivered):
            _logger.warning("%s raised; it is called again later", self.sink, exc_info=error)
        self._is_failing = True


def _failed(entry: ClaimedCallback, error: BaseException) -> FailedDelivery:
    attempts = entry.attempts + 1
    wait = min(_FIRST_WAIT * _GROWTH**entry.attempts, _LONGEST_WAIT)
    wait *= random.uniform(0.8, 1.0)  # noqa: S311 - spreads load, guards nothing
    return FailedDelivery(entry.seq, _reason(error), now_ms() + int(wait * 1000), attempts >= MAX_ATTEMPTS)


def _reason(error: BaseException) -> str:
    """Why a delivery failed, in one line that names no key and no password."""
    text = str(error) if isinstance(error, Undelivered) else f"raised {type(error).__name__}: {error}"
    return " ".join(without_api_keys(text).split())[:500]
