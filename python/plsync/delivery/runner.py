"""The run loop of ``plsync run``: ``once()`` drains the outbox, ``forever()`` keeps it empty."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Final

from plsync._common.clock import elapsed
from plsync.delivery.binding import Binding
from plsync.delivery.breaker import Breaker
from plsync.delivery.followups import FollowUpSender
from plsync.delivery.key_renewal import KeyRenewal
from plsync.delivery.limits import MAX_BATCH_RECORDS, MAX_IN_FLIGHT
from plsync.delivery.policy import RULES, Action, SendPolicy
from plsync.delivery.reports import FollowUpReport, PassReport, Pause, Step
from plsync.delivery.sender import Sender
from plsync.delivery.shortages import shortage_in
from plsync.delivery.wake import Wake, WakeReason
from plsync.promptlayer.outcomes import Ambiguous, Outcome, Unreachable
from plsync.promptlayer.request_threads import call_unless_stopped
from plsync.promptlayer.thread_pool import StartThread, start_thread

if TYPE_CHECKING:
    from plsync.callbacks.dispatcher import CallbackDispatcher
    from plsync.delivery.batching import BatchSizer
    from plsync.delivery.memory import MemoryBudget
    from plsync.journal.journal import Journal
    from plsync.promptlayer.client import PromptLayerClient

__all__ = ["Runner"]

# All times in seconds. An idle run looks at the journal this often: for dead processes, and for retries that are due.
_REVISIT: Final = 30.0
# The longest turn of a loop that waits.
_TURN: Final = 5.0
# once() gives up after this many failures in a row, or before a longer pause.
_ATTEMPTS: Final = 4
_PATIENCE: Final = 30.0
# once() waits this long for callbacks at its end. The journal keeps the ids of the rest.
_CALLBACKS_AT_END: Final = 60.0
# The least time in which to store callbacks that finish during shutdown.
_STORE_AT_END: Final = 0.1


class Runner:
    """Runs rounds over one journal. The caller holds the journal's ``sync.lock``.

    A round is a pass over the records, then the follow-ups; callbacks run beside it in other threads. States::

        ROUND --ok, a state changed-------> ROUND
        ROUND --ok, no state changed-------> IDLE     once(): the end, if no due time is near
        ROUND --failed---------------------> PAUSED   the breaker sets the length
        ROUND --failed, Action.STOP--------> end      forever(): only if no round has succeeded before, and the
                                                      failure is no refused key that can change
        PAUSED -the key has changed--------> ROUND
        any ----reload(), new key----------> ROUND
        ROUND --no disk space, memory, ...-> PAUSED   forever() only; once() raises
        IDLE ---event, doorbell, due time--> ROUND
        PAUSED -time is over---------------> ROUND    with a single record first
        PAUSED -unreachable: probe fails---> PAUSED   the journal is left alone
        any ----stop(), finish()-----------> end      finish(): after a round that failed or changed no state

    Args:
        journal: the journal.
        client: the connection to PromptLayer.
        policy: the times to wait.
        wake: waits for changes of the journal and of the network.
        batch: records in one request, at most.
        in_flight: requests at once.
        trees: whether agents are sent as trees.
        memory: the memory for the contents of records; None for the budget that all senders of the process share.
        sizer: chooses the bytes of a request; None to begin with small requests.
        start: starts a thread for requests that send records.
        dispatcher: a started dispatcher of callbacks; None to deliver no request ids.
        on_progress: called with the report of the running pass whenever it has changed.
        on_turn: called by the thread of the run with each turn of its loop: every few seconds, also while it waits.
    """

    def __init__(
        self,
        journal: Journal,
        client: PromptLayerClient,
        policy: SendPolicy,
        wake: Wake,
        *,
        batch: int = MAX_BATCH_RECORDS,
        in_flight: int = MAX_IN_FLIGHT,
        trees: bool = True,
        memory: MemoryBudget | None = None,
        sizer: BatchSizer | None = None,
        start: StartThread = start_thread,
        dispatcher: CallbackDispatcher | None = None,
        on_progress: Callable[[PassReport], None] = lambda _: None,
        on_turn: Callable[[], None] = lambda: None,
    ) -> None:
        self._journal = journal
        self._on_turn = on_turn
        self._thread: int | None = None
        self._client = client
        self._policy = policy
        self._wake = wake
        self._dispatcher = dispatcher
        self._stopping = threading.Event()
        self._finishing = threading.Event()
        self._is_cut = threading.Event()
        self._key = KeyRenewal(client, self._is_ending)
        self._stopped_at: float | None = None
        self._breaker = Breaker(policy)
        self.halt: Outcome | None = None
        """The outcome that ended the last round early; None after a whole round."""
        self._sender = Sender(
            journal,
            client,
            policy,
            batch=batch,
            in_flight=in_flight,
            trees=trees,
            memory=memory,
            sizer=sizer,
            start=start,
            stopped=self._turn,
            is_over=self._is_cut.is_set,
            on_progress=on_progress,
        )
        self._followups = FollowUpSender(journal, client, policy, in_flight=in_flight)

    def stop(self) -> None:
        """End the run as soon as the requests in flight are over. For any thread, and for signal handlers."""
        self._stopped_at = elapsed()
        self._stopping.set()
        if self._dispatcher is not None:
            self._dispatcher.stopping.set()
        self._wake.interrupt()

    def finish(self) -> None:
        """End the run after the first round that fails or changes no state. For any thread."""
        self._finishing.set()
        self._wake.interrupt()

    def cut(self) -> None:
        """End the run as soon as the requests in flight have their responses, however long these take. For any thread.

        For :meth:`once`. Records that were leased, and not sent, stay pending.
        """
        self._is_cut.set()
        self._wake.interrupt()

    def reload(self) -> None:
        """Read the API key again. For any thread, and for signal handlers."""
        self._key.request()
        self._wake.interrupt()

    def set_in_flight(self, number: int) -> None:
        """Change the number of requests at once. For any thread."""
        self._sender.set_in_flight(number)
        self._followups.set_in_flight(number)

    @property
    def binding(self) -> Binding:
        """The binding of the journal to the workspace of the run."""
        return self._sender.binding

    @property
    def stopping(self) -> bool:
        """Whether :meth:`stop` was called."""
        return self._stopping.is_set()

    def once(self) -> Iterator[Step]:
        """Run rounds until nothing more can be done now, and yield each step.

        Waits until records in doubt have settled, and waits out short pauses. Does not wait for a missing network, nor
        for the end of an agent that runs.
        """
        self._thread = threading.get_ident()
        yield from self._drain()
        if self._dispatcher is not None:
            self._dispatcher.finish(_CALLBACKS_AT_END)
            yield from self._dispatcher.reports()
            if self.halt is None:
                # Callbacks may have queued follow-ups.
                yield from self._drain()
        yield from self._close()

    def _drain(self) -> Iterator[Step]:
        while not (self._turn() or self._is_cut.is_set()):
            yield from self._key.when_requested()
            changed = yield from self._round()
            if self.halt is None and changed:
                continue
            if self.halt is None:
                # An agent may run for hours. Its ended calls wait for the next run.
                wait = self._until_due(self._policy.lease + 1.0, growing=False)
                if wait is None:
                    return
            else:
                wait = self._breaker.open(self.halt)
                if _is_futile(self.halt) or self._breaker.failures == _ATTEMPTS or wait > _PATIENCE:
                    return
            yield Pause(wait, self.halt)
            yield from self._wait(wait, WakeReason.NOTHING)

    def forever(self) -> Iterator[Step]:
        """Run rounds until :meth:`stop` or :meth:`finish`, and yield each step.

        Ends early when a person has to change a setting and no round has succeeded yet.
        """
        self._thread = threading.get_ident()
        yield from self._keep_empty()
        yield from self._close()

    def _keep_empty(self) -> Iterator[Step]:
        reached = False
        while not self._turn():
            changed, due = False, None
            yield from self._key.when_requested()
            try:
                changed = yield from self._round()
                due = self._until_due(_REVISIT)
            except Exception as error:
                self.halt = self._key.outcome_of(error) or shortage_in(error)
                if self.halt is None:
                    raise
                yield PassReport(halt=self.halt)
            if self.halt is not None:
                is_final = RULES[type(self.halt)].action is Action.STOP and not self._key.may_help(self.halt)
                if self._finishing.is_set() or (is_final and not reached):
                    return
                yield from self._pause(self.halt)
            elif changed:
                reached = True
            elif self._finishing.is_set():
                return
            else:
                yield from self._wait(due or _REVISIT, WakeReason.RECORDED | WakeReason.RUNG)

    def _round(self) -> Generator[Step, None, bool]:
        """Send records, then follow-ups; set :attr:`halt`. Returns whether a record or follow-up changed its state."""
        self._correct_due_times()
        records = self._sender.run_pass(probe_first=self._breaker.half_open)
        yield records
        followups = self._followups.send_due(self._turn) if _is_reachable(records) else FollowUpReport()
        yield followups
        if self._dispatcher is not None and records.acked:
            self._dispatcher.ring()
        yield from self._reports()
        self.halt = records.halt or followups.halt
        if self.halt is None or records.acked or followups.sent:
            # Failures count as in a row only without a delivery between them: a link may drop every minute.
            self._breaker.close()
        return records.changed_state or followups.changed_state

    def _correct_due_times(self) -> None:
        """Move the due times of the journal after a change of the wall clock."""
        before, after = self._policy.clock.set_since() or (self._policy.now_ms(),) * 2
        longest = int(self._policy.longest_wait * 1000)
        self._journal.outbox.shift_waits(before, after, longest)
        self._journal.followups.shift_waits(before, after, longest)

    def _pause(self, outcome: Outcome) -> Iterator[Step]:
        """Wait out a failure. Without a network, a probe ends each wait, and the journal is left alone.

        After a refused key a new key ends the wait.
        """
        while not self.stopping:
            is_new = yield from self._key.when_requested()
            if self._key.may_help(outcome) and (is_new or (yield from self._key.renew())):
                return
            wait = self._breaker.open(outcome)
            yield Pause(wait, outcome)
            if self._key.may_help(outcome):
                yield from self._wait_for_key(wait)
                return
            is_offline = isinstance(outcome, Unreachable)
            reasons = yield from self._wait(wait, WakeReason.NETWORK if is_offline else WakeReason.NOTHING)
            if WakeReason.NETWORK in reasons:
                self._breaker.reset_time()
            if self._is_ending() or not is_offline:
                return
            probed = call_unless_stopped(self._is_ending, self._client.probe, "plsync-probe")
            if not isinstance(probed, Unreachable):
                return
            outcome = probed

    def _wait_for_key(self, seconds: float) -> Iterator[Step]:
        """Wait until the key has changed, or the time is over."""
        deadline = elapsed() + seconds
        while not self._is_ending() and (left := deadline - elapsed()) > 0:
            yield from self._wait(min(left, self._key.poll), WakeReason.NOTHING)
            if self._is_ending() or (yield from self._key.when_requested()) or (yield from self._key.renew()):
                return

    def _wait(self, seconds: float, until: WakeReason) -> Generator[Step, None, WakeReason]:
        """Wait for the time, a reason in ``until``, or the end of the run. Yields reports of callbacks meanwhile."""
        deadline = elapsed() + seconds
        while not (self._is_ending() or self._key.is_requested) and (left := deadline - elapsed()) > 0:
            reasons = self._wake.wait(min(left, _TURN), until)
            yield from self._reports()
            if reasons & until:
                return reasons
        return WakeReason.NOTHING

    def _turn(self) -> bool:
        """Whether the run was stopped. Every loop of the run calls this in each turn."""
        # Request threads call it too. They may go on while the loop hangs.
        if threading.get_ident() == self._thread:
            self._on_turn()
        return self.stopping

    def _is_ending(self) -> bool:
        return self._turn() or self._finishing.is_set() or self._is_cut.is_set()

    def _until_due(self, longest: float, *, growing: bool = True) -> float | None:
        """Seconds until the next record or follow-up is due; None if that takes longer than ``longest``."""
        due_times = [
            due
            for due in (
                self._journal.outbox.next_due(self._policy.now_ms(), growing=growing),
                self._journal.followups.next_due(),
            )
            if due is not None
        ]
        if not due_times:
            return None
        # At least 0.1 s: the last round skipped the work that is already due, and an immediate round would skip it
        # again.
        wait = max(0.1, (min(due_times) - self._policy.now_ms()) / 1000)
        return wait if wait <= longest else None

    def _reports(self) -> Iterator[Step]:
        if self._dispatcher is not None:
            yield from self._dispatcher.reports()

    def _close(self) -> Iterator[Step]:
        if self._dispatcher is not None:
            # Requests and callbacks share one grace period; both started to stop at the same time.
            over = 0.0 if self._stopped_at is None else elapsed() - self._stopped_at
            self._dispatcher.stop(max(_STORE_AT_END, self._policy.grace - over))
        yield from self._reports()


def _is_reachable(report: PassReport) -> bool:
    """Whether the pass reached PromptLayer.

    Over a link that drops now and then, a pass may never finish without a failure.
    """
    return report.halt is None or (report.acked > 0 and isinstance(report.halt, Ambiguous | Unreachable))


def _is_futile(outcome: Outcome) -> bool:
    """Whether a short wait cannot help: there is no network, or a setting is wrong."""
    return isinstance(outcome, Unreachable) or RULES[type(outcome)].action is Action.STOP
