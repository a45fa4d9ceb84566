"""Looks up records in doubt: records that were sent and got no clear response. None is sent again before that."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Final

from plsync.delivery.policy import RULES, Action, SendPolicy
from plsync.delivery.reports import ReconcileReport
from plsync.promptlayer.outcomes import Ambiguous, Found, Missing, Outcome, Refused
from plsync.promptlayer.request_threads import RequestThreads, call_unless_stopped

if TYPE_CHECKING:
    from plsync.journal.journal import Journal
    from plsync.journal.record import Record
    from plsync.promptlayer.client import PromptLayerClient

__all__ = ["Reconciler"]

_BATCH: Final = 1000
_SEARCH_BATCH: Final = 25
_POLL: Final = 0.1
# After this many unclear responses in a row, assume that the server is failing, not just this trace.
_MAX_UNCLEAR: Final = 3


class Reconciler:
    """Looks up every record in doubt that has settled. A record without a clear result stays in doubt.

    Args:
        journal: the journal. The caller holds its ``sync.lock``.
        client: the connection to PromptLayer.
        policy: the times to wait.
        in_flight: look-ups at once.
        stopped: read between look-ups. Once it returns True no further look-up begins.
        send_last: whether a record that PromptLayer does not have is sent after all other pending records.
    """

    def __init__(
        self,
        journal: Journal,
        client: PromptLayerClient,
        policy: SendPolicy,
        in_flight: int,
        stopped: Callable[[], bool],
        *,
        send_last: Callable[[Record], bool] = lambda _: False,
    ) -> None:
        self._journal = journal
        self._client = client
        self._policy = policy
        self._stopped = stopped
        self._send_last = send_last
        self._unclear_in_a_row = 0
        # Records whose look-ups are used up, and whose search is due.
        self._without_log: list[Record] = []
        self._threads: RequestThreads[list[Record], Outcome] = RequestThreads(
            self._look_up, in_flight, "plsync-look-up"
        )

    def set_in_flight(self, number: int) -> None:
        """Change the number of look-ups at once."""
        self._threads.number = number

    def run(self) -> ReconcileReport:
        """Look up every record that is due now, once."""
        report = ReconcileReport()
        self._unclear_in_a_row, self._without_log = 0, []
        while report.halt is None and not self._stopped():
            due = self._journal.outbox.in_doubt(_BATCH, self._policy.now_ms())
            if not due:
                break
            try:
                self._look_up_all(due, report)
            finally:
                self._threads.close()
            if report.halt is None and self._without_log:
                self._search(report)
        return report

    def _look_up(self, records: list[Record]) -> Outcome:
        return self._client.look_up(records[0].trace_id)

    def _look_up_all(self, records: Sequence[Record], report: ReconcileReport) -> None:
        traces: dict[str, list[Record]] = {}
        for record in records:
            traces.setdefault(record.trace_id, []).append(record)
        remaining = iter(traces.values())
        submitting = True
        while submitting or self._threads.busy:
            while submitting and self._threads.free:
                members = None if self._stopped() or report.halt is not None else next(remaining, None)
                submitting = members is not None
                if members is not None:
                    self._threads.submit(members)
            if self._stopped():
                # A look-up changes nothing at PromptLayer, so its record stays in its state.
                self._threads.abandon()
                return
            self._settle(self._threads.collect(_POLL), report)

    def _settle(self, results: Iterable[tuple[list[Record], Outcome]], report: ReconcileReport) -> None:
        acks: list[tuple[int, int | None]] = []
        missing: list[Record] = []
        for records, outcome in results:
            for record in records:
                self._settle_record(record, outcome, acks, missing)
            if isinstance(outcome, Ambiguous):
                self._unclear_in_a_row += 1
                if self._unclear_in_a_row >= _MAX_UNCLEAR:
                    report.halt = outcome
                continue
            self._unclear_in_a_row = 0
            if not isinstance(outcome, Found | Missing | Refused):
                report.halt = outcome
        if acks:
            report.acked += self._journal.outbox.ack(acks)
        for send_last in (False, True):
            # The outbox leases records without a due time before records with one.
            seqs = [record.seq for record in missing if self._comes_last(record) == send_last]
            if seqs:
                due_ms = self._policy.now_ms() if send_last else 0
                self._journal.outbox.release(seqs, due_ms, "PromptLayer does not have it: it will be sent again")
        calls = sum(not record.is_run for record in missing)
        report.missing += calls
        report.runs += len(missing) - calls + sum(request_id is None for _, request_id in acks)

    def _settle_record(
        self, record: Record, outcome: Outcome, acks: list[tuple[int, int | None]], missing: list[Record]
    ) -> None:
        if isinstance(outcome, Found):
            request_id = outcome.request_ids.get(record.span_id)
            if record.in_tree() and record.span_id not in outcome.request_ids:
                missing.append(record)  # PromptLayer has another part of the tree
            elif record.is_run or request_id is not None:
                acks.append((record.seq, request_id))
            else:
                self._look_again(record, "PromptLayer has its span, but no request log yet")
        elif isinstance(outcome, Missing):
            missing.append(record)
        elif isinstance(outcome, Refused):
            self._look_again(record, f"PromptLayer refused to look it up: {outcome.reason}")
        elif isinstance(outcome, Ambiguous):
            self._defer(record, outcome)

    def _comes_last(self, record: Record) -> bool:
        # The records of a tree stay in order.
        return not record.in_tree() and self._send_last(record)

    def _defer(self, record: Record, outcome: Ambiguous) -> None:
        """Put a record off without counting the look-up: PromptLayer may always fail at this trace."""
        wait_ms = max(record.backoff_ms(), int(self._policy.first_lookup * 1000))
        reason = f"looked up without a clear response: {outcome.reason}"
        self._journal.outbox.park([record.seq], "in_doubt", reason, self._policy.now_ms() + wait_ms)

    def _look_again(self, record: Record, reason: str) -> None:
        wait_ms = self._policy.next_lookup(record.backoff_ms())
        if wait_ms is None:
            # This wait keeps the record out of this pass, and marks its look-ups as used up in the next one.
            wait_ms = int(self._policy.last_lookup * 1000)
            self._without_log.append(record)
        self._journal.outbox.park([record.seq], "in_doubt", reason, self._policy.now_ms() + wait_ms)

    def _search(self, report: ReconcileReport) -> None:
        """Search for records whose spans stay without a log: PromptLayer may have a log outside of the trace."""
        remaining, self._without_log = self._without_log, []
        while remaining:
            batch, remaining = remaining[:_SEARCH_BATCH], remaining[_SEARCH_BATCH:]
            outcome = call_unless_stopped(
                self._stopped, partial(self._client.search, [record.id for record in batch]), "plsync-search"
            )
            if outcome is None:
                return
            if not isinstance(outcome, Found):
                # PromptLayer allows ten searches per minute. The remaining records are searched for after their wait.
                if RULES[type(outcome)].action is Action.STOP:
                    report.halt = outcome
                return
            for record in batch:
                self._settle_searched(record, outcome.request_ids.get(record.id), report)

    def _settle_searched(self, record: Record, request_id: int | None, report: ReconcileReport) -> None:
        if request_id is not None:
            report.acked += self._journal.outbox.ack([(record.seq, request_id)])
        elif record.renewed:
            reason = "PromptLayer has its span, twice, and makes no request log of it; `plsync retry` looks once more"
            self._journal.outbox.park([record.seq], "held", reason)
            report.held += 1
        else:
            self._journal.outbox.renew(
                [record.seq], "PromptLayer stored its span without a log: it is sent under new ids"
            )
            report.renewed += 1
