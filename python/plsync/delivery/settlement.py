"""Stores the outcomes of requests in the journal: acks, and the new states of the other records."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from plsync.delivery.policy import RULES, Action, SendPolicy
from plsync.promptlayer.outcomes import Delivered, Outcome, Throttled

if TYPE_CHECKING:
    from plsync.delivery.batch_sender import BatchResult
    from plsync.delivery.batching import BatchSizer, Quarantine
    from plsync.delivery.binding import Binding
    from plsync.delivery.reports import PassReport
    from plsync.delivery.tree_links import TreeLinks
    from plsync.journal.journal import Journal
    from plsync.journal.record import Record

__all__ = ["Settlement"]


class Settlement:
    """Stores the outcomes of batches. One thread calls.

    Args:
        journal: the journal. The caller holds its ``sync.lock``.
        policy: the times to wait.
        binding: the binding of the journal, checked before acks are stored.
        sizer: learns from the times of requests.
        quarantine: learns from failures.
        links: the trees of the leased records.
    """

    def __init__(
        self,
        journal: Journal,
        policy: SendPolicy,
        binding: Binding,
        *,
        sizer: BatchSizer,
        quarantine: Quarantine,
        links: TreeLinks,
    ) -> None:
        self._journal = journal
        self._policy = policy
        self._binding = binding
        self._sizer = sizer
        self._quarantine = quarantine
        self._links = links

    def store(self, results: Iterable[BatchResult], report: PassReport) -> None:
        """Store the outcomes in the journal, and count them in the report."""
        acks: list[tuple[int, int | None]] = []
        for result in results:
            for size, seconds, outcome in result.timings:
                self._sizer.observe(size, seconds, outcome)
            for records, outcome in result.outcomes:
                self._quarantine.observe(records, outcome)
                self._links.drop(records)
                if isinstance(outcome, Delivered):
                    acks += self._acks(records, outcome, report)
                else:
                    self._settle_failure(records, outcome, report)
            if result.late:
                reason = "the trace of its tree was closed before: it is sent as a trace that links to it"
                late = [record.seq for record in result.late]
                self._journal.outbox.park(late, "in_doubt", reason, self._policy.settled_ms())
                self._journal.outbox.renew(late, reason)
                report.resent += report.count(result.late)
            for record, reason in result.untranslated:
                self._journal.outbox.park([record.seq], "dead", reason)
                report.dead += report.count([record])
            if result.unsent:
                self._journal.outbox.release([record.seq for record in result.unsent], 0, "not sent yet")
        if acks:
            self._binding.check()
            report.acked += self._journal.outbox.ack(acks)

    def _acks(self, records: list[Record], delivered: Delivered, report: PassReport) -> list[tuple[int, int | None]]:
        """The acks of a delivered batch. Calls without a request id are parked in doubt."""
        acks: list[tuple[int, int | None]] = []
        closed: list[int] = []
        without_log: list[int] = []
        for record in records:
            span_id = record.span_id
            if record.is_run and span_id not in delivered.closed:
                acks.append((record.seq, None))
                report.runs += 1
            elif span_id in delivered.request_ids:
                acks.append((record.seq, delivered.request_ids[span_id]))
            else:
                (closed if span_id in delivered.closed else without_log).append(record.seq)
        if closed:
            # Due at once: the request that closed the trace is over.
            self._journal.outbox.park(closed, "in_doubt", "PromptLayer has its trace already; its id is looked up")
        if without_log:
            reason = "PromptLayer stored its span, but returned no request id"
            self._journal.outbox.park(without_log, "in_doubt", reason, self._policy.settled_ms())
        unclear = {*closed, *without_log}
        report.in_doubt += report.count([record for record in records if record.seq in unclear])
        return acks

    def _settle_failure(self, records: list[Record], outcome: Outcome, report: PassReport) -> None:
        rule = RULES[type(outcome)]
        seqs = [record.seq for record in records]
        if rule.state == "dead":
            self._journal.outbox.park(seqs, "dead", f"PromptLayer refused it: {outcome.reason}")
            report.dead += report.count(records)
        elif rule.state == "in_doubt":
            due_ms = self._policy.settled_ms(self._quarantine.backoff_factor(records))
            self._journal.outbox.park(seqs, "in_doubt", outcome.reason, due_ms)
            report.in_doubt += report.count(records)
        else:
            wait = (outcome.retry_after or 0.0) if isinstance(outcome, Throttled) else 0.0
            self._journal.outbox.release(seqs, self._policy.due_ms(wait), outcome.reason)
        if rule.action is not Action.CONTINUE:
            report.halt = outcome
