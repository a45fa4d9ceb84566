"""One pass over the outbox: take in, look up what is in doubt, send what is pending, store what was answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plsync.promptlayer.blueprint import span
from plsync.sync.outcomes import Delivered, Outcome, Rejected, Throttled
from plsync.sync.policy import RULES, Policy
from plsync.sync.reconcile import reconcile

if TYPE_CHECKING:
    from plsync.journal import Journal
    from plsync.record import Record
    from plsync.sync.transport import PromptLayerClient

__all__ = ["Engine", "Pass"]


@dataclass
class Pass:
    """What one pass did, in records."""

    acked: int = 0
    """Now at PromptLayer, with their request ids."""
    found: int = 0
    """Of those, found there already when they were looked up."""
    resent: int = 0
    """In doubt, looked up, not there: pending again."""
    in_doubt: int = 0
    """Sent without a clear answer."""
    dead: int = 0
    """Refused for what they hold."""
    halt: Outcome | None = None
    """Why the pass ended early; None when it got through."""

    @property
    def moved(self) -> bool:
        """Whether another pass may find more to do."""
        return bool(self.acked or self.resent or self.in_doubt or self.dead)


class Engine:
    """Sends the records of one journal. The caller holds the journal's ``sync.lock``."""

    def __init__(
        self,
        journal: Journal,
        client: PromptLayerClient,
        policy: Policy,
        *,
        batch: int = 100,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Send at most ``batch`` records a request; ``stopped`` is asked between requests."""
        self._journal = journal
        self._client = client
        self._policy = policy
        self._batch = batch
        self._stopped = stopped

    def run_pass(self) -> Pass:
        """Go through the outbox once."""
        self._journal.ingest(wait=True)
        # The lock is ours, so whoever still holds a lease is dead and its last request over: only settling is left.
        self._journal.expire_leases(_now_ms() + int(self._policy.timeout * 1000))
        result = Pass()
        looked_up = reconcile(self._journal, self._client, self._policy, _now_ms(), self._stopped)
        result.acked = result.found = looked_up.acked
        result.resent, result.halt = looked_up.missing, looked_up.halt
        while result.halt is None and not self._stopped():
            records = self._journal.lease(self._batch, int(self._policy.lease * 1000), _now_ms())
            if not records:
                break
            self._deliver(records, result)
        if result.acked:
            self._journal.doorbell()
        return result

    def _deliver(self, records: list[Record], result: Pass) -> None:
        """Send one batch. PromptLayer takes it whole or not at all, so a refused one is halved to find the culprit."""
        batches = [self._with_spans(records, result)]
        while batches:
            batch = batches.pop()
            if not batch:
                continue
            outcome = self._client.send([built for _, built in batch])
            if isinstance(outcome, Rejected) and len(batch) > 1:
                middle = len(batch) // 2
                batches += [batch[middle:], batch[:middle]]
                continue
            self._settle([record for record, _ in batch], outcome, result)
            if result.halt is not None:
                unsent = [record.seq for rest in batches for record, _ in rest]
                self._journal.release(unsent, 0, outcome.reason)
                return

    def _with_spans(self, records: Sequence[Record], result: Pass) -> list[tuple[Record, dict[str, Any]]]:
        built = []
        for record in records:
            try:
                built.append((record, span(record)))
            except Exception as error:
                reason = f"plsync could not translate it ({type(error).__name__}: {error}); please report this"
                self._journal.park([record.seq], "dead", reason)
                result.dead += 1
        return built

    def _settle(self, records: list[Record], outcome: Outcome, result: Pass) -> None:
        """Store what an outcome means for the records it is about."""
        if isinstance(outcome, Delivered):
            self._acknowledge(records, outcome, result)
            return
        rule = RULES[type(outcome)]
        seqs = [record.seq for record in records]
        if rule.becomes == "dead":
            self._journal.park(seqs, "dead", f"PromptLayer refused it: {outcome.reason}")
            result.dead += len(seqs)
        elif rule.becomes == "in_doubt":
            self._journal.park(seqs, "in_doubt", outcome.reason, self._settled_ms())
            result.in_doubt += len(seqs)
        else:
            wait = (outcome.retry_after or 0.0) if isinstance(outcome, Throttled) else 0.0
            self._journal.release(seqs, _now_ms() + int(wait * 1000), outcome.reason)
        if rule.then != "go on":
            result.halt = outcome

    def _acknowledge(self, records: list[Record], delivered: Delivered, result: Pass) -> None:
        ids = delivered.request_ids
        result.acked += self._journal.ack([(r.seq, ids[r.span_id]) for r in records if r.span_id in ids])
        rest = [record for record in records if record.span_id not in ids]
        before = [record.seq for record in rest if record.span_id in delivered.closed]
        without_log = [record.seq for record in rest if record.span_id not in delivered.closed]
        if before:
            # Due at once: the trace is closed, so whatever stored it is over.
            self._journal.park(before, "in_doubt", "PromptLayer has its trace already; its id is looked up")
        if without_log:
            reason = "PromptLayer stored its span, but gave no request id"
            self._journal.park(without_log, "in_doubt", reason, self._settled_ms())
        result.in_doubt += len(rest)

    def _settled_ms(self) -> int:
        return _now_ms() + int(self._policy.settle * 1000)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
