"""Follow-ups on their way to PromptLayer: those of one request one after the other, of different requests side by side.

What an answer means for a follow-up is what it means for a record (:mod:`plsync.delivery.policy`), but for one thing: a
follow-up whose answer was lost is sent again, when the first has settled. For metadata, prompt links and groups that
changes nothing, because they are set and not added; for scores see ``docs/guide/follow-ups.md``.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from plsync._common.clock import now_ms
from plsync.delivery.policy import IN_FLIGHT, RULES, Policy
from plsync.delivery.workers import Workers
from plsync.journal.followups import FailedFollowUp, FollowUp
from plsync.promptlayer.outcomes import Ambiguous, Delivered, Outcome, Throttled

if TYPE_CHECKING:
    from plsync.journal.journal import Journal
    from plsync.promptlayer.client import PromptLayerClient

__all__ = ["FollowUpReport", "FollowUps"]

# How often a stop is noticed, in seconds.
_POLL: Final = 0.1
# So many answers in a row that are none: it is not the follow-ups.
_MOST_UNCLEAR: Final = 3
_MOST_ERRORS: Final = 20


@dataclass
class FollowUpReport:
    """What sending follow-ups did."""

    sent: int = 0
    """PromptLayer has them."""
    dead: int = 0
    """PromptLayer refused them; kept, with the reason."""
    unclear: int = 0
    """No clear answer came; they are sent again later."""
    halt: Outcome | None = None
    """Why it ended early; None when nothing more was due."""
    errors: list[str] = field(default_factory=list)
    """What PromptLayer said of those it refused, one line each; of very many the first."""

    @property
    def moved(self) -> bool:
        """Whether anything was done."""
        return bool(self.sent or self.dead or self.unclear)


@dataclass
class _Sent:
    """What became of the follow-ups of one request."""

    outcomes: list[tuple[FollowUp, Outcome]] = field(default_factory=list)
    unsent: list[FollowUp] = field(default_factory=list)


class FollowUps:
    """Sends the follow-ups of one journal. The caller holds the journal's ``sync.lock``.

    The calling thread alone changes what is queued; workers send and wait for answers.
    """

    def __init__(
        self, journal: Journal, client: PromptLayerClient, policy: Policy, *, in_flight: int = IN_FLIGHT
    ) -> None:
        """Send ``in_flight`` requests at once."""
        self._queue = journal.followups
        self._client = client
        self._policy = policy
        self._halted = False
        self._unclear_in_a_row = 0
        self._workers: Workers[list[FollowUp], _Sent] = Workers(self._send, in_flight, "plsync-follow-up")

    def send_due(self, stopped: Callable[[], bool] = lambda: False) -> FollowUpReport:
        """Send what is due, until nothing more is, something halts it, or ``stopped``."""
        report = FollowUpReport()
        self._halted, self._unclear_in_a_row = False, 0
        try:
            self._send_all(report, stopped)
        finally:
            self._workers.close()
        return report

    def _send_all(self, report: FollowUpReport, stopped: Callable[[], bool]) -> None:
        more = True
        while True:
            if more and not self._halted and not stopped():
                more = self._hand_out()
            if not self._workers.busy:
                return
            if stopped():
                self._halted = True
                self._settle(self._last_answers(), report)
                return
            if done := self._workers.collect(_POLL):
                self._settle((sent for _, sent in done), report)
                more = True

    def _hand_out(self) -> bool:
        """Claim what fills the workers, and give it to them; False when nothing more is due now."""
        if not self._workers.free:
            return True
        claimed = self._queue.claim(self._workers.free, int(self._policy.lease * 1000), now_ms())
        for _, run in itertools.groupby(claimed, key=lambda followup: followup.request_id):
            self._workers.submit(list(run))
        return bool(claimed)

    def _last_answers(self) -> list[_Sent]:
        """The answers that come within the grace of a stop; what else is at work is sent again after its claim."""
        answers = []
        deadline = time.monotonic() + self._policy.grace
        while self._workers.busy and (left := deadline - time.monotonic()) > 0:
            answers += [sent for _, sent in self._workers.collect(left)]
        self._workers.abandon()
        return answers

    def _send(self, run: list[FollowUp]) -> _Sent:
        """Send the follow-ups of one request, up to the first that has to be sent again."""
        sent = _Sent()
        # Each takes up to the timeout; together they must be over before the claim is.
        deadline = time.monotonic() + self._policy.timeout
        for position, followup in enumerate(run):
            if self._halted or time.monotonic() > deadline:
                sent.unsent = run[position:]
                break
            outcome = self._client.track(followup.op, {"request_id": followup.request_id, **followup.payload})
            sent.outcomes.append((followup, outcome))
            if not isinstance(outcome, Delivered) and RULES[type(outcome)].becomes != "dead":
                sent.unsent = run[position + 1 :]
                self._halted |= not isinstance(outcome, Ambiguous)
                break
        return sent

    def _settle(self, answers: Iterable[_Sent], report: FollowUpReport) -> None:
        """Store what the answers mean."""
        done: list[FollowUp] = []
        failed: list[FailedFollowUp] = []
        unsent: list[FollowUp] = []
        for sent in answers:
            unsent += sent.unsent
            for followup, outcome in sent.outcomes:
                if isinstance(outcome, Delivered):
                    done.append(followup)
                    self._unclear_in_a_row = 0
                else:
                    failed.append(self._failure(followup, outcome, report))
        self._queue.done(done)
        self._queue.failed(failed)
        self._queue.release(unsent)
        report.sent += len(done)

    def _failure(self, followup: FollowUp, outcome: Outcome, report: FollowUpReport) -> FailedFollowUp:
        rule = RULES[type(outcome)]
        if rule.becomes == "dead":
            report.dead += 1
            if len(report.errors) < _MOST_ERRORS:
                refused = f"PromptLayer refused a {followup.op} of request {followup.request_id}"
                report.errors.append(f"{refused}: {outcome.reason}")
            return FailedFollowUp(followup.key, outcome.reason, 0, dead=True)
        wait = 0.0
        if isinstance(outcome, Throttled):
            wait = outcome.retry_after or 0.0
        elif isinstance(outcome, Ambiguous):
            report.unclear += 1
            wait = self._policy.settle + self._policy.pause(followup.attempts + 1, outcome)
        if self._halts(outcome):
            self._halted = True
            report.halt = outcome
        return FailedFollowUp(followup.key, outcome.reason, now_ms() + int(wait * 1000), dead=False)

    def _halts(self, outcome: Outcome) -> bool:
        """Whether the next would fare no better. One without a clear answer may be alone in that; several are not."""
        if not isinstance(outcome, Ambiguous):
            return RULES[type(outcome)].then != "go on"
        self._unclear_in_a_row += 1
        return self._unclear_in_a_row >= _MOST_UNCLEAR
