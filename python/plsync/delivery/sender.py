"""One pass over the outbox: take in, look up what is in doubt, send what is pending, store what was answered."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import orjson

from plsync._common.clock import now_ms
from plsync.delivery.batches import batches
from plsync.delivery.pace import Pace
from plsync.delivery.policy import BATCH, IN_FLIGHT, RULES, Policy
from plsync.delivery.reconciler import Reconciler
from plsync.delivery.suspects import Suspects
from plsync.delivery.workers import Workers
from plsync.promptlayer.mapping.blueprint import span_json
from plsync.promptlayer.outcomes import Ambiguous, Delivered, Found, Misdirected, Missing, Outcome, Rejected, Throttled

if TYPE_CHECKING:
    from plsync.journal.journal import Journal
    from plsync.journal.record import Record
    from plsync.promptlayer.client import PromptLayerClient

__all__ = ["Engine", "Pass"]

# Bytes of events in one request, over the best of links.
_MOST_BYTES: Final = 4 << 20
# How often new events are taken in while a long backlog is sent, and how often a stop is noticed, in seconds.
_TAKE_IN: Final = 1.0
_POLL: Final = 0.1
# After so many seconds of a long backlog, what else is due has its turn: look-ups, scores.
_TURN: Final = 30.0


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
    held: int = 0
    """Kept for somebody's decision: PromptLayer makes no log of them."""
    halt: Outcome | None = None
    """Why the pass ended early; None when it got through."""

    @property
    def moved(self) -> bool:
        """Whether another pass may find more to do."""
        return bool(self.acked or self.resent or self.in_doubt or self.dead or self.held)


@dataclass
class _Sent:
    """What became of one batch, in parts where it had to be halved."""

    outcomes: list[tuple[list[Record], Outcome]] = field(default_factory=list)
    times: list[tuple[int, float, Outcome]] = field(default_factory=list)
    """Of each request: the bytes of events it brought, how many seconds it took, and what came of it."""
    unsent: list[Record] = field(default_factory=list)
    untranslated: list[tuple[Record, str]] = field(default_factory=list)


class Engine:
    """Sends the records of one journal. The caller holds the journal's ``sync.lock``.

    The calling thread alone moves records from state to state; workers translate, send and wait for answers.
    """

    def __init__(
        self,
        journal: Journal,
        client: PromptLayerClient,
        policy: Policy,
        *,
        batch: int = BATCH,
        in_flight: int = IN_FLIGHT,
        stopped: Callable[[], bool] = lambda: False,
        watched: Callable[[Pass], None] = lambda _: None,
    ) -> None:
        """Prepare.

        Args:
            journal: whose records.
            client: where they go.
            policy: how long to wait for what.
            batch: records in one request, at most; fewer where the link does not carry so many in good time.
            in_flight: requests at once.
            stopped: asked between requests; then nothing more is sent, and answers have a moment to come.
            watched: told how far a pass is, whenever it has got further.
        """
        self._journal = journal
        self._client = client
        self._policy = policy
        self._batch = batch
        self._in_flight = in_flight
        self._stopped = stopped
        self._watched = watched
        self._halted = False
        self._pace = Pace(policy.timeout, _MOST_BYTES)
        self._suspects = Suspects()
        self._workers: Workers[list[Record], _Sent] = Workers(self._deliver, in_flight, "plsync-send")
        self._reconciler = Reconciler(journal, client, policy, in_flight, stopped, last=self._suspects.failed_alone)

    def run_pass(self, *, carefully: bool = False) -> Pass:
        """Go through the outbox once; ``carefully`` sends a single record first, and the rest when that went well."""
        self._journal.ingest(wait=True)
        # The lock is ours, so whoever holds a lease is dead. When it died is not known, so settling begins now.
        self._journal.outbox.orphan_leases(now_ms() - int(self._policy.longest_delivery * 1000), self._settled_ms())
        result = self._look_up()
        # A server that answers no look-ups may take records all the same, as many as wait; a single one finds out.
        unclear = isinstance(result.halt, Ambiguous)
        if result.halt is None or unclear:
            try:
                self._send(result, carefully=carefully or unclear)
            finally:
                self._workers.close()
        return result

    def _look_up(self) -> Pass:
        found = self._reconciler.run()
        resent = found.missing + found.renewed
        return Pass(acked=found.acked, found=found.acked, resent=resent, held=found.held, halt=found.halt)

    def _send(self, result: Pass, *, carefully: bool) -> None:
        self._halted = False
        begun = taken_in = time.monotonic()
        more, over = True, False
        while True:
            if time.monotonic() - taken_in > _TAKE_IN:
                self._journal.ingest()
                taken_in = time.monotonic()
                # One request may take minutes: what is new, and there is room for, does not wait for it.
                more = True
                over = over or (result.moved and taken_in - begun >= _TURN and self._keeps_waiting())
            if more and not over and not self._halted and not self._stopped():
                more = self._hand_out(1 if carefully else self._batch, carefully)
            if not self._workers.busy:
                return
            if self._stopped():
                self._settle([done for _, done in self._last_answers()], result)
                return
            if done := self._workers.collect(_POLL):
                self._settle([sent for _, sent in done], result)
                more, carefully = True, carefully and not result.acked

    def _keeps_waiting(self) -> bool:
        """Whether something is due that is not for sending records."""
        now, said = now_ms(), self._journal.followups.next_due()
        return (said is not None and said <= now) or bool(self._journal.outbox.in_doubt(1, now))

    def _hand_out(self, size: int, carefully: bool) -> bool:
        """Lease what fills the workers, and give it to them; False when nothing more is due now."""
        free = self._workers.free - (self._in_flight - 1 if carefully else 0)
        if free <= 0:
            return True
        lease = int(self._policy.lease * 1000)
        most_bytes = self._pace.most_bytes
        leased = self._journal.outbox.lease(
            size * free, lease, now_ms(), most_bytes * free, of_lane=size, lane_bytes=most_bytes
        )
        for batch in batches(leased, size, most_bytes):
            self._workers.submit(batch)
        return bool(leased)

    def _last_answers(self) -> list[tuple[list[Record], _Sent]]:
        """The answers that come within the grace of a stop; what else is at work is in doubt from now on."""
        answers = []
        deadline = time.monotonic() + self._policy.grace
        while self._workers.busy and (left := deadline - time.monotonic()) > 0:
            answers += self._workers.collect(left)
        unanswered = [record.seq for batch in self._workers.abandon() for record in batch]
        if unanswered:
            self._journal.outbox.park(unanswered, "in_doubt", "stopped before the answer came", self._settled_ms())
        return answers

    def _deliver(self, records: list[Record]) -> _Sent:
        """Send one batch. PromptLayer takes it whole or not at all, so a refused one is halved to find the culprit.

        What was sent in vain before goes in parts, one after the other: the culprit may be among it as well.
        """
        sent = _Sent()
        parts = self._suspects.apart(self._translated(records, sent))[::-1]
        begun = time.monotonic()
        while parts:
            part = parts.pop()
            if not part:
                continue
            too_long = time.monotonic() - begun > self._policy.longest_delivery / 2
            if self._halted or (sent.outcomes and (too_long or self._stopped())):
                sent.unsent += [record for record, _ in part]
                continue
            sent_at = time.monotonic()
            outcome = self._client.send([body for _, body in part])
            sent.times.append((sum(record.size for record, _ in part), time.monotonic() - sent_at, outcome))
            if isinstance(outcome, Rejected) and len(part) > 1:
                middle = len(part) // 2
                parts += [part[middle:], part[:middle]]
                continue
            if isinstance(outcome, Rejected) and outcome.foreign:
                outcome = self._confirmed(outcome)
            self._halted |= not isinstance(outcome, Delivered) and RULES[type(outcome)].then != "go on"
            sent.outcomes.append(([record for record, _ in part], outcome))
        return sent

    def _confirmed(self, refused: Rejected) -> Outcome:
        """A refusal in other words than PromptLayer's counts when it is PromptLayer that is asked.

        Else a server that refuses everything would make dead letters of the whole journal.
        """
        probed = self._client.probe()
        if isinstance(probed, Missing | Found):
            return refused
        return Misdirected(refused.reason) if isinstance(probed, Rejected) else probed

    def _translated(self, records: Sequence[Record], sent: _Sent) -> list[tuple[Record, orjson.Fragment]]:
        built = []
        for record in records:
            try:
                built.append((record, orjson.Fragment(span_json(record))))
                record.let_go()
            except Exception as error:
                reason = f"plsync could not translate it ({type(error).__name__}: {error}); please report this"
                sent.untranslated.append((record, reason))
        return built

    def _settle(self, sent: Iterable[_Sent], result: Pass) -> None:
        """Store what the answers mean for the records they are about."""
        acks: list[tuple[int, int]] = []
        for one in sent:
            for size, seconds, outcome in one.times:
                self._pace.note(size, seconds, outcome)
            for records, outcome in one.outcomes:
                self._suspects.note(records, outcome)
                if isinstance(outcome, Delivered):
                    acks += self._acked(records, outcome, result)
                else:
                    self._failed(records, outcome, result)
            for record, reason in one.untranslated:
                self._journal.outbox.park([record.seq], "dead", reason)
                result.dead += 1
            if one.unsent:
                self._journal.outbox.release([record.seq for record in one.unsent], 0, "not sent yet")
        if acks:
            result.acked += self._journal.outbox.ack(acks)
        self._watched(result)

    def _acked(self, records: list[Record], delivered: Delivered, result: Pass) -> list[tuple[int, int]]:
        acks: list[tuple[int, int]] = []
        before: list[int] = []
        without_log: list[int] = []
        for record in records:
            span_id = record.span_id
            if span_id in delivered.request_ids:
                acks.append((record.seq, delivered.request_ids[span_id]))
            else:
                (before if span_id in delivered.closed else without_log).append(record.seq)
        if before:
            # Due at once: the trace is closed, so whatever stored it is over.
            self._journal.outbox.park(before, "in_doubt", "PromptLayer has its trace already; its id is looked up")
        if without_log:
            reason = "PromptLayer stored its span, but gave no request id"
            self._journal.outbox.park(without_log, "in_doubt", reason, self._settled_ms())
        result.in_doubt += len(records) - len(acks)
        return acks

    def _failed(self, records: list[Record], outcome: Outcome, result: Pass) -> None:
        rule = RULES[type(outcome)]
        seqs = [record.seq for record in records]
        if rule.becomes == "dead":
            self._journal.outbox.park(seqs, "dead", f"PromptLayer refused it: {outcome.reason}")
            result.dead += len(seqs)
        elif rule.becomes == "in_doubt":
            rests = self._suspects.rests(records)
            self._journal.outbox.park(seqs, "in_doubt", outcome.reason, self._settled_ms(rests))
            result.in_doubt += len(seqs)
        else:
            wait = (outcome.retry_after or 0.0) if isinstance(outcome, Throttled) else 0.0
            self._journal.outbox.release(seqs, now_ms() + int(wait * 1000), outcome.reason)
        if rule.then != "go on":
            result.halt = outcome

    def _settled_ms(self, times: int = 1) -> int:
        return now_ms() + int(self._policy.settle * times * 1000)
