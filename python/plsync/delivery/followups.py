"""Sends follow-ups to PromptLayer: in order for one request, side by side for different requests.

The rules of :mod:`plsync.delivery.policy` apply, with one exception: a follow-up without a clear response is sent again
after it has settled. Metadata, prompt links and groups are set and not added, so a second request changes nothing. For
scores see ``docs/guide/follow-ups.md``.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from plsync.delivery.limits import MAX_IN_FLIGHT
from plsync.delivery.policy import RULES, Action, SendPolicy
from plsync.delivery.reports import FollowUpReport
from plsync.journal.followups import FailedFollowUp, FollowUp
from plsync.promptlayer.outcomes import Ambiguous, Delivered, Outcome, Throttled
from plsync.promptlayer.request_threads import RequestThreads

if TYPE_CHECKING:
    from plsync.journal.journal import Journal
    from plsync.promptlayer.client import PromptLayerClient

__all__ = ["FollowUpSender"]

# The interval between two looks at the stop flag, in seconds.
_POLL: Final = 0.1
# After this many unclear responses in a row, assume that the server is failing, not just this follow-up.
_MAX_UNCLEAR: Final = 3
_MAX_ERRORS: Final = 20


@dataclass
class _GroupResult:
    """The outcomes of the follow-ups of one request."""

    outcomes: list[tuple[FollowUp, Outcome]] = field(default_factory=list)
    unsent: list[FollowUp] = field(default_factory=list)


class FollowUpSender:
    """Sends the follow-ups of one journal. The caller holds the journal's ``sync.lock``.

    Only the calling thread changes the queue. Other threads send and wait for responses.

    Args:
        journal: the journal.
        client: the connection to PromptLayer.
        policy: the times to wait.
        in_flight: requests at once.
    """

    def __init__(
        self, journal: Journal, client: PromptLayerClient, policy: SendPolicy, *, in_flight: int = MAX_IN_FLIGHT
    ) -> None:
        self._queue = journal.followups
        self._client = client
        self._policy = policy
        self._halted = False
        self._unclear_in_a_row = 0
        self._threads: RequestThreads[list[FollowUp], _GroupResult] = RequestThreads(
            self._send, in_flight, "plsync-follow-up"
        )

    def set_in_flight(self, number: int) -> None:
        """Change the number of requests at once."""
        self._threads.number = number

    def send_due(self, stopped: Callable[[], bool] = lambda: False) -> FollowUpReport:
        """Send follow-ups until no more are due, an outcome halts the sender, or ``stopped()`` is true."""
        report = FollowUpReport()
        self._halted, self._unclear_in_a_row = False, 0
        try:
            self._send_all(report, stopped)
        finally:
            self._threads.close()
        return report

    def _send_all(self, report: FollowUpReport, stopped: Callable[[], bool]) -> None:
        refill = True
        while True:
            if refill and not self._halted and not stopped():
                refill = self._submit_due()
            if not self._threads.busy:
                return
            if stopped():
                self._halted = True
                self._settle(self._last_results(), report)
                return
            if done := self._threads.collect(_POLL):
                self._settle((result for _, result in done), report)
                refill = True

    def _submit_due(self) -> bool:
        """Claim follow-ups for the free threads, and submit them. Returns False when no more are due."""
        if not self._threads.free:
            return True
        claimed = self._queue.claim(self._threads.free, int(self._policy.lease * 1000), self._policy.now_ms())
        for _, group in itertools.groupby(claimed, key=lambda followup: followup.request_id):
            self._threads.submit(list(group))
        return bool(claimed)

    def _last_results(self) -> list[_GroupResult]:
        """The results that come within the grace of a stop. All other claimed follow-ups are sent after their lease."""
        results = []
        deadline = time.monotonic() + self._policy.grace
        while self._threads.busy and (left := deadline - time.monotonic()) > 0:
            results += [result for _, result in self._threads.collect(left)]
        self._threads.abandon()
        return results

    def _send(self, group: list[FollowUp]) -> _GroupResult:
        """Send the follow-ups of one request, up to the first that has to be sent again."""
        result = _GroupResult()
        # Each request takes up to the timeout. All of them have to end before the lease does.
        deadline = time.monotonic() + self._policy.timeout
        for position, followup in enumerate(group):
            if self._halted or time.monotonic() > deadline:
                result.unsent = group[position:]
                break
            outcome = self._client.track(followup.op, {"request_id": followup.request_id, **followup.payload})
            result.outcomes.append((followup, outcome))
            if not isinstance(outcome, Delivered) and RULES[type(outcome)].state != "dead":
                result.unsent = group[position + 1 :]
                if not isinstance(outcome, Ambiguous):
                    self._halted = True
                break
        return result

    def _settle(self, results: Iterable[_GroupResult], report: FollowUpReport) -> None:
        """Store the outcomes in the queue."""
        done: list[FollowUp] = []
        failed: list[FailedFollowUp] = []
        unsent: list[FollowUp] = []
        for result in results:
            unsent += result.unsent
            for followup, outcome in result.outcomes:
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
        if rule.state == "dead":
            report.dead += 1
            if len(report.errors) < _MAX_ERRORS:
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
        return FailedFollowUp(followup.key, outcome.reason, self._policy.due_ms(wait), dead=False)

    def _halts(self, outcome: Outcome) -> bool:
        """Whether the next follow-up would fail as well. One unclear response may concern its follow-up alone."""
        if not isinstance(outcome, Ambiguous):
            return RULES[type(outcome)].action is not Action.CONTINUE
        self._unclear_in_a_row += 1
        return self._unclear_in_a_row >= _MAX_UNCLEAR
