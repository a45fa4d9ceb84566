"""Pass after pass: once until nothing more can be done now, or for as long as it is wanted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from plsync._common.clock import WallClock, elapsed, now_ms
from plsync.callbacks.dispatcher import Deliveries, DeliveryReport
from plsync.delivery.breaker import Breaker
from plsync.delivery.followups import FollowUpReport, FollowUps
from plsync.delivery.policy import BATCH, IN_FLIGHT, RULES, Policy
from plsync.delivery.sender import Engine, Pass
from plsync.delivery.wake import Wake, Woken
from plsync.delivery.workers import unless
from plsync.promptlayer.outcomes import Ambiguous, Offline, Outcome

if TYPE_CHECKING:
    from plsync.journal.journal import Journal
    from plsync.promptlayer.client import PromptLayerClient

__all__ = ["Runner", "Step", "Waiting", "left"]

# However little happens, the journal is looked at so often: for processes that died, and callbacks due again.
_REVISIT: Final = 30.0
_TRIES: Final = 4
_PATIENCE: Final = 30.0
# How long a single run waits for callbacks at its end; their ids come back if that is not enough.
_LAST_CALLS: Final = 60.0
# What calls that have ended meanwhile need to be stored.
_LAST_STORE: Final = 0.1


@dataclass(frozen=True)
class Waiting:
    """A pause before the next pass: because of an outcome, or until what is in doubt has settled."""

    seconds: float
    outcome: Outcome | None = None


Step = Pass | FollowUpReport | DeliveryReport | Waiting


class Runner:
    """Runs the engine of one journal. The caller holds the journal's ``sync.lock``."""

    def __init__(
        self,
        journal: Journal,
        client: PromptLayerClient,
        policy: Policy,
        wake: Wake,
        *,
        batch: int = BATCH,
        in_flight: int = IN_FLIGHT,
        deliveries: Deliveries | None = None,
        watched: Callable[[Pass], None] = lambda _: None,
    ) -> None:
        """Prepare. ``deliveries`` have been started; None: none are made. ``watched`` is told how far a pass is."""
        self._journal = journal
        self._client = client
        self._policy = policy
        self._wake = wake
        self._deliveries = deliveries
        self._stopping = threading.Event()
        self._finishing = threading.Event()
        self._stopped_at: float | None = None
        self._clock = WallClock()
        self._breaker = Breaker(policy)
        self.halt: Outcome | None = None
        """Why the last round ended early; None when it got through."""
        stopped = self._stopping.is_set
        self._engine = Engine(
            journal, client, policy, batch=batch, in_flight=in_flight, stopped=stopped, watched=watched
        )
        self._followups = FollowUps(journal, client, policy, in_flight=in_flight)

    def stop(self) -> None:
        """End the run as soon as the requests at hand are over. For any thread, and signal handlers."""
        self._stopped_at = elapsed()
        self._stopping.set()
        if self._deliveries is not None:
            self._deliveries.stopping.set()
        self._wake.call()

    def finish(self) -> None:
        """End the run once nothing more moves. For any thread."""
        self._finishing.set()
        self._wake.call()

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""
        return self._stopping.is_set()

    def once(self) -> Iterator[Step]:
        """Steps until nothing more can be done now.

        What is in doubt is waited for until it has settled, and short pauses are waited out; a missing network is not.
        """
        yield from self._once()
        if self._deliveries is not None:
            self._deliveries.finish(_LAST_CALLS)
            yield from self._reports()
            if self.halt is None:
                # What the callbacks said of their requests.
                yield from self._once()
        yield from self._last_reports()

    def _once(self) -> Iterator[Step]:
        while not self.stopping:
            moved, halt = yield from self._round()
            if halt is None:
                self._breaker.close()
                if moved:
                    continue
                wait = self._until_due(self._policy.lease + 1.0)
                if wait is None:
                    return
                yield Waiting(wait)
            else:
                wait = self._breaker.open(halt)
                if _gives_up(halt) or self._breaker.failures == _TRIES or wait > _PATIENCE:
                    return
                yield Waiting(wait, halt)
            yield from self._rest(wait, Woken.NOTHING)

    def forever(self) -> Iterator[Step]:
        """Steps until :meth:`stop` or :meth:`finish`, or until somebody has to change something before all else."""
        yield from self._forever()
        yield from self._last_reports()

    def _forever(self) -> Iterator[Step]:
        reached = False
        while not self.stopping:
            moved, halt = yield from self._round()
            if halt is None:
                reached |= moved
                self._breaker.close()
                if not moved and self._finishing.is_set():
                    return
                if not moved:
                    yield from self._rest(self._until_due(_REVISIT) or _REVISIT, Woken.RECORDED | Woken.RUNG)
                continue
            if self._finishing.is_set() or (RULES[type(halt)].then == "stop" and not reached):
                return
            yield from self._pause(halt)

    def _round(self) -> Generator[Step, None, tuple[bool, Outcome | None]]:
        """Records, then what was said of them; whether anything moved, and why it ended early if it did."""
        self._mend_waits()
        sent = self._engine.run_pass(carefully=self._breaker.half_open)
        yield sent
        said = self._followups.send_due(self._stopping.is_set) if _reached(sent) else FollowUpReport()
        yield said
        if self._deliveries is not None and sent.acked:
            self._deliveries.ring()
        yield from self._reports()
        self.halt = sent.halt or said.halt
        if sent.acked or said.sent:
            # Failures in a row are without anything delivered between them: a link that drops now and then is one.
            self._breaker.close()
        return sent.moved or said.moved, self.halt

    def _mend_waits(self) -> None:
        before, after = self._clock.set_since() or (now_ms(),) * 2
        longest = int(self._policy.longest_wait * 1000)
        self._journal.outbox.shift_waits(before, after, longest)
        self._journal.followups.shift_waits(before, after, longest)

    def _pause(self, outcome: Outcome) -> Iterator[Step]:
        """Wait out a failure. Without a network, one cheap probe ends each wait, and the journal is left alone."""
        while not self.stopping:
            wait = self._breaker.open(outcome)
            yield Waiting(wait, outcome)
            woken = yield from self._rest(wait, Woken.NETWORK if isinstance(outcome, Offline) else Woken.NOTHING)
            if Woken.NETWORK in woken:
                self._breaker.hurry()
            if self._ends() or not isinstance(outcome, Offline):
                return
            probed = unless(self._ends, self._client.probe, "plsync-probe")
            if not isinstance(probed, Offline):
                return
            outcome = probed

    def _rest(self, seconds: float, until: Woken) -> Generator[Step, None, Woken]:
        """Wait so long, or until one of these happens, or the run is to end; what callbacks did meanwhile is told."""
        deadline = elapsed() + seconds
        while not self._ends() and (left := deadline - elapsed()) > 0:
            woken = self._wake.wait(left, until)
            yield from self._reports()
            if woken & until:
                return woken
        return Woken.NOTHING

    def _ends(self) -> bool:
        return self.stopping or self._finishing.is_set()

    def _until_due(self, most: float) -> float | None:
        """Seconds until the next record or follow-up that waits for a moment is due, if that is within ``most``."""
        dues = [
            due
            for due in (self._journal.outbox.next_due(now_ms()), self._journal.followups.next_due())
            if due is not None
        ]
        if not dues:
            return None
        # Never at once: what is due by now was just passed over, for a reason.
        wait = max(0.1, (min(dues) - now_ms()) / 1000)
        return wait if wait <= most else None

    def _reports(self) -> Iterator[Step]:
        if self._deliveries is not None:
            yield from self._deliveries.reports()

    def _last_reports(self) -> Iterator[Step]:
        if self._deliveries is not None:
            # Calls that run have known of a stop for as long as requests have: one grace is for both.
            over = 0.0 if self._stopped_at is None else elapsed() - self._stopped_at
            self._deliveries.stop(max(_LAST_STORE, self._policy.grace - over))
        yield from self._reports()


def left(journal: Journal) -> dict[str, int]:
    """What is still to be done, by state, and under ``callbacks``; calls that are running do not count."""
    return journal.stats().left


def _reached(sent: Pass) -> bool:
    """Whether PromptLayer was there: a pass over a link that drops now and then may never end well."""
    return sent.halt is None or (sent.acked > 0 and isinstance(sent.halt, Ambiguous | Offline))


def _gives_up(outcome: Outcome) -> bool:
    return isinstance(outcome, Offline) or RULES[type(outcome)].then == "stop"
