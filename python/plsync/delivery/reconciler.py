"""Records in doubt: sent, and no clear answer. Each is looked up before anything is sent again."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final

from plsync._common.clock import now_ms
from plsync.delivery.policy import RULES, Policy
from plsync.delivery.workers import Workers, unless
from plsync.promptlayer.outcomes import Ambiguous, Found, Missing, Outcome, Rejected

if TYPE_CHECKING:
    from plsync.journal.journal import Journal
    from plsync.journal.record import Record
    from plsync.promptlayer.client import PromptLayerClient

__all__ = ["Reconciled", "Reconciler"]

_AT_ONCE: Final = 1000
_SEARCHED: Final = 25
_POLL: Final = 0.1
# So many answers in a row that are none: it is not the traces.
_MOST_UNCLEAR: Final = 3


@dataclass
class Reconciled:
    """What looking up brought to light."""

    acked: int = 0
    """Records that PromptLayer had all along."""
    missing: int = 0
    """Records it never stored: pending again, with the same ids."""
    renewed: int = 0
    """Records whose trace it has and makes no log of: pending again, with new ids."""
    held: int = 0
    """Records it makes no log of, whatever their ids: kept for somebody's decision."""
    halt: Outcome | None = None
    """Why looking up ended early."""
    _without_log: list[Record] = field(default_factory=list)


class Reconciler:
    """Looks up every record in doubt that has settled. One that cannot be decided stays in doubt."""

    def __init__(
        self,
        journal: Journal,
        client: PromptLayerClient,
        policy: Policy,
        in_flight: int,
        stopped: Callable[[], bool],
        *,
        last: Callable[[Record], bool] = lambda _: False,
    ) -> None:
        """Ask up to ``in_flight`` questions at once, until ``stopped``; ``last``: what is sent again after all else."""
        self._journal = journal
        self._client = client
        self._policy = policy
        self._stopped = stopped
        self._last = last
        self._unclear_in_a_row = 0
        self._workers: Workers[Record, Outcome] = Workers(self._look_up, in_flight, "plsync-look-up")

    def run(self) -> Reconciled:
        """Go through what is due now, once."""
        result = Reconciled()
        self._unclear_in_a_row = 0
        while result.halt is None and not self._stopped():
            due = self._journal.outbox.in_doubt(_AT_ONCE, now_ms())
            if not due:
                break
            try:
                self._ask(due, result)
            finally:
                self._workers.close()
            if result.halt is None and result._without_log:
                self._search(result)
        return result

    def _look_up(self, record: Record) -> Outcome:
        return self._client.look_up(record.trace_id)

    def _ask(self, records: Sequence[Record], result: Reconciled) -> None:
        left = iter(records)
        asking = True
        while asking or self._workers.busy:
            while asking and self._workers.free:
                record = None if self._stopped() or result.halt is not None else next(left, None)
                asking = record is not None
                if record is not None:
                    self._workers.submit(record)
            if self._stopped():
                # Nothing was sent: what is asked in vain stays as it was.
                self._workers.abandon()
                return
            self._take(self._workers.collect(_POLL), result)

    def _take(self, answers: Iterable[tuple[Record, Outcome]], result: Reconciled) -> None:
        acks: list[tuple[int, int]] = []
        missing: dict[bool, list[int]] = {False: [], True: []}
        for record, outcome in answers:
            if isinstance(outcome, Found):
                request_id = outcome.request_ids.get(record.span_id)
                if request_id is None:
                    self._look_again(record, "PromptLayer has its span, but no request log yet", result)
                else:
                    acks.append((record.seq, request_id))
            elif isinstance(outcome, Missing):
                missing[self._last(record)].append(record.seq)
            elif isinstance(outcome, Rejected):
                self._look_again(record, f"PromptLayer would not look it up: {outcome.reason}", result)
            elif isinstance(outcome, Ambiguous):
                self._unclear(record, outcome, result)
            else:
                result.halt = outcome
            if not isinstance(outcome, Ambiguous):
                self._unclear_in_a_row = 0
        if acks:
            result.acked += self._journal.outbox.ack(acks)
        for last, seqs in missing.items():
            if seqs:
                # Of what is due, that comes last which was put off.
                due = now_ms() if last else 0
                self._journal.outbox.release(seqs, due, "PromptLayer does not have it: it will be sent again")
                result.missing += len(seqs)

    def _unclear(self, record: Record, outcome: Ambiguous, result: Reconciled) -> None:
        """Put it off, and count no look: one trace that PromptLayer always fails at must not keep all else waiting."""
        wait = max(record.put_off_ms(), int(self._policy.first_look * 1000))
        self._journal.outbox.park([record.seq], "in_doubt", f"looked up in vain: {outcome.reason}", now_ms() + wait)
        self._unclear_in_a_row += 1
        if self._unclear_in_a_row >= _MOST_UNCLEAR:
            result.halt = outcome

    def _look_again(self, record: Record, reason: str, result: Reconciled) -> None:
        wait = self._policy.next_look(record.put_off_ms())
        if wait is None:
            # No longer due, so that this pass does not meet it again; and after this wait its looks are still used up.
            wait = int(self._policy.last_look * 1000)
            result._without_log.append(record)
        self._journal.outbox.park([record.seq], "in_doubt", reason, now_ms() + wait)

    def _search(self, result: Reconciled) -> None:
        """The last resort for spans that stay without a log: it may be there and not be shown with the trace."""
        left, result._without_log = result._without_log, []
        while left:
            some, left = left[:_SEARCHED], left[_SEARCHED:]
            outcome = unless(
                self._stopped, partial(self._client.search, [record.id for record in some]), "plsync-search"
            )
            if outcome is None:
                return
            if not isinstance(outcome, Found):
                # Ten searches a minute are allowed: the others stay put off.
                if RULES[type(outcome)].then == "stop":
                    result.halt = outcome
                return
            for record in some:
                self._decide(record, outcome.request_ids.get(record.id), result)

    def _decide(self, record: Record, request_id: int | None, result: Reconciled) -> None:
        if request_id is not None:
            result.acked += self._journal.outbox.ack([(record.seq, request_id)])
        elif record.renewed:
            reason = "PromptLayer has its span, twice, and makes no request log of it; `plsync retry` looks once more"
            self._journal.outbox.park([record.seq], "held", reason)
            result.held += 1
        else:
            self._journal.outbox.renew(
                [record.seq], "PromptLayer stored its span without a log: it is sent under new ids"
            )
            result.renewed += 1
