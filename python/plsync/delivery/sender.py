"""One pass over the outbox: ingest, look up records in doubt, send pending records, store the outcomes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from plsync._common.clock import now_ms
from plsync.delivery.ancestors import delivered_parent
from plsync.delivery.batch_queue import BatchQueue
from plsync.delivery.batching import BatchSizer, Quarantine, split_into_batches
from plsync.delivery.binding import Binding
from plsync.delivery.limits import MAX_BATCH_BYTES, MAX_BATCH_RECORDS, MAX_IN_FLIGHT
from plsync.delivery.memory import MemoryBudget, process_budget
from plsync.delivery.policy import RULES, Action, SendPolicy
from plsync.delivery.reconciler import Reconciler
from plsync.delivery.reports import PassReport
from plsync.delivery.requests import Part, Requests, Span
from plsync.delivery.resumed import resumed_graph
from plsync.errors import JournalError
from plsync.journal.disk import is_full_disk
from plsync.promptlayer.mapping.blueprint import span_json
from plsync.promptlayer.outcomes import Ambiguous, Delivered, Found, Misdirected, Missing, Outcome, Refused, Throttled
from plsync.promptlayer.request_threads import RequestThreads
from plsync.promptlayer.thread_pool import StartThread, start_thread

if TYPE_CHECKING:
    from plsync.journal.journal import Journal
    from plsync.journal.record import Record
    from plsync.promptlayer.client import PromptLayerClient

__all__ = ["Sender"]

# While a long backlog is sent: the interval between two ingests, and between two looks at the stop flag, in seconds.
_INGEST_EVERY: Final = 1.0
_POLL: Final = 0.1
# A pass over a long backlog ends after this many seconds if look-ups or follow-ups are due.
_LONGEST_PASS: Final = 30.0


@dataclass
class _BatchResult:
    """The results of sending one batch: of one request, or of several after a split or a refusal."""

    outcomes: list[tuple[list[Record], Outcome]] = field(default_factory=list)
    timings: list[tuple[int, float, Outcome]] = field(default_factory=list)
    """For each request: its bytes of events, its seconds, its outcome."""
    unsent: list[Record] = field(default_factory=list)
    untranslated: list[tuple[Record, str]] = field(default_factory=list)
    late: list[Record] = field(default_factory=list)
    """Records whose trace was closed before, without their spans."""


@dataclass
class _PassState:
    """The state of a pass while it sends: whether to lease more records."""

    probing: bool
    """Send a single record at a time, until PromptLayer has acked one."""
    refill: bool = True
    """The outbox may hold records for the free threads."""
    blocked: bool = False
    """The next record waits for memory."""
    expired: bool = False
    """Other work is due after a long pass: lease no more, and wait for the requests in flight."""
    began: float = field(default_factory=time.monotonic)
    ingested: float = field(default_factory=time.monotonic)


class Sender:
    """Sends the records of one journal. The caller holds the journal's ``sync.lock``.

    Only the calling thread changes the states of records. Other threads translate, send and wait for responses.

    Args:
        journal: the journal.
        client: the connection to PromptLayer.
        policy: the times to wait.
        batch: records in one request, at most; fewer on a slow link.
        in_flight: requests at once.
        trees: whether agents are sent as trees. Without trees each call is a trace, and all other runs are held.
        memory: the memory for the contents of records; None for the budget that all senders of the process share.
        sizer: chooses the bytes of a request; None to begin with small requests.
        start: starts a thread for requests.
        stopped: read between requests. Once it returns True the sender sends no more, and waits ``policy.grace``
            seconds for the responses in flight.
        is_over: read between requests. Once it returns True the pass leases no more, and waits for its responses.
        on_progress: called with the report of the running pass whenever it has changed.
    """

    def __init__(
        self,
        journal: Journal,
        client: PromptLayerClient,
        policy: SendPolicy,
        *,
        batch: int = MAX_BATCH_RECORDS,
        in_flight: int = MAX_IN_FLIGHT,
        trees: bool = True,
        memory: MemoryBudget | None = None,
        sizer: BatchSizer | None = None,
        start: StartThread = start_thread,
        stopped: Callable[[], bool] = lambda: False,
        is_over: Callable[[], bool] = lambda: False,
        on_progress: Callable[[PassReport], None] = lambda _: None,
    ) -> None:
        self._memory = process_budget() if memory is None else memory
        self._journal = journal
        self._client = client
        self._policy = policy
        self._batch = batch
        self._in_flight = in_flight
        self._stopped = stopped
        self._is_over = is_over
        self._on_progress = on_progress
        self.binding = Binding(journal, client, stopped)
        """The binding of the journal to the client's workspace."""
        self._halted = False
        self._trees = trees
        journal.outbox.set_tree_wait(int(policy.tree_wait * 1000) if trees else 0)
        # The roots that continue an interrupted graph, by their records.
        self._resumed: dict[int, str] = {}
        # The nearest ancestors that PromptLayer accepted, of records whose parents it refused before.
        self._parents: dict[int, str] = {}
        # The traces of trees that will have more records. A tree is in one lane, and a lane in one batch at a time.
        self._unfinished: set[str] = set()
        self._sizer = BatchSizer(policy.timeout, MAX_BATCH_BYTES) if sizer is None else sizer
        self._quarantine = Quarantine()
        self._threads: RequestThreads[list[Record], _BatchResult] = RequestThreads(
            self._send_batch, in_flight, "plsync-send", start
        )
        self._queue = BatchQueue(self._threads, self._memory)
        self._reconciler = Reconciler(
            journal, client, policy, in_flight, lambda: stopped() or is_over(), send_last=self._quarantine.failed_alone
        )

    def set_in_flight(self, number: int) -> None:
        """Change the number of requests at once."""
        self._in_flight = self._threads.number = number
        self._reconciler.set_in_flight(number)

    def run_pass(self, *, probe_first: bool = False) -> PassReport:
        """Go through the outbox once.

        Args:
            probe_first: send a single record, and the rest only after its ack.

        Raises:
            WrongWorkspace: the journal is bound to another server or key.
        """
        unread = self._ingest(wait=True)
        # Before every pass: the key may have changed since the last one.
        if (unbound := self.binding.check()) is not None:
            return PassReport(halt=unbound)
        # This process holds the lock, so the owner of any lease is dead. Its requests may have ended just now.
        self._journal.outbox.orphan_leases(now_ms() - int(self._policy.longest_send * 1000), self._settled_ms())
        report = self._look_up()
        # A server whose look-ups fail may still accept records: probe it with one new record.
        unclear = isinstance(report.halt, Ambiguous)
        if report.halt is None or unclear:
            try:
                self._send(report, _PassState(probing=probe_first or unclear))
            except Exception:
                # The journal failed. The next pass looks up these records, so no request may be under way then.
                self._threads.drop(self._stopped)
                raise
            finally:
                self._queue.close()
                self._threads.close()
        if unread is not None and report.halt is None and not report.changed_state:
            raise unread
        return report

    def _ingest(self, *, wait: bool, largest: int | None = None) -> JournalError | None:
        """Ingest new events, and return the error of a full disk.

        The records in the store are sent meanwhile. Once they are acked, the quota may remove their content, and the
        next ingest finds room.
        """
        try:
            self._journal.ingest(wait=wait, largest=largest)
        except JournalError as error:
            if not is_full_disk(error):
                raise
            return error
        return None

    def _look_up(self) -> PassReport:
        found = self._reconciler.run()
        resent = found.missing + found.renewed
        return PassReport(
            acked=found.acked,
            runs=found.runs,
            found=found.acked,
            resent=resent,
            held=found.held,
            halt=found.halt,
        )

    def _send(self, report: PassReport, state: _PassState) -> None:
        self._halted = False
        while self._fill(report, state):
            if self._stopped():
                self._settle(self._last_results(), report)
                break
            if done := self._queue.collect(_POLL):
                self._settle([result for _, result in done], report)
                state.refill = True
                state.probing = state.probing and not (report.acked or report.runs)
        if unsent := [record.seq for record in self._queue.take_waiting()]:
            self._journal.outbox.release(unsent, 0, "not sent yet")

    def _fill(self, report: PassReport, state: _PassState) -> bool:
        """Submit records to the free threads. Returns False when no request is in flight, which ends the pass."""
        if time.monotonic() - state.ingested > _INGEST_EVERY:
            # One request may take minutes. New records that fit beside it do not wait for it.
            self._ingest(wait=False, largest=self._memory.largest_event())
            state.ingested = time.monotonic()
            state.refill = True
            is_long = state.ingested - state.began >= _LONGEST_PASS
            state.expired = state.expired or (report.changed_state and is_long and self._other_work_is_due())
        may_send = not (self._halted or self._stopped() or self._is_over())
        if may_send:
            self._queue.submit()
        if may_send and state.refill and not state.expired and not self._queue.waiting:
            state.refill = self._lease(state)
        return self._threads.busy or (may_send and (state.blocked or self._queue.waiting))

    def _other_work_is_due(self) -> bool:
        """Whether a follow-up or a look-up is due."""
        now, followup_due = now_ms(), self._journal.followups.next_due()
        return (followup_due is not None and followup_due <= now) or bool(self._journal.outbox.in_doubt(1, now))

    def _lease(self, state: _PassState) -> bool:
        """Lease records for the free threads, and submit them. Returns False when no more records are due."""
        size, free, per_tree = self._batch, self._threads.free, self._batch
        if state.probing:
            size, free = 1, free - (self._in_flight - 1)
        state.blocked = False
        if free <= 0:
            return True
        lease_ms = int(self._policy.lease * 1000)
        max_bytes = self._sizer.max_bytes
        # A tree goes whole, as far as a request of this size is allowed at all: only then one request closes its trace.
        share = self._memory.reserve(max(max_bytes * free, MAX_BATCH_BYTES), self)
        leased: list[Record] = []
        try:
            leased = self._journal.outbox.lease(
                size * free,
                lease_ms,
                now_ms(),
                min(share.room, max_bytes * free),
                per_lane=size,
                bytes_per_lane=max_bytes,
                per_tree=per_tree,
                bytes_per_tree=min(share.room, MAX_BATCH_BYTES),
                fitting=not share.alone,
            )
            is_any = bool(leased)
            if self._trees:
                self._note_trees(leased)
            else:
                leased = self._without_trees(leased)
            self._queue.add(split_into_batches(leased, size, max_bytes))
        finally:
            self._memory.end(share)
        self._queue.submit()
        if is_any:
            self._memory.stop_waiting(self)
        elif not share.alone and self._journal.outbox.has_due(now_ms()):
            # The next record does not fit beside the records under way.
            self._memory.wait_alone(self)
            state.blocked = True
        return is_any or state.blocked

    def _note_trees(self, leased: Sequence[Record]) -> None:
        """Note which trees of the leased records will have more records, and which continue another tree."""
        trees: dict[str, set[int]] = {}
        known = {record.id for record in leased}
        for record in leased:
            if record.root_id is not None and record.in_tree():
                trees.setdefault(record.root_id, set()).add(record.seq)
                if (resumed := resumed_graph(self._journal, record)) is not None:
                    self._resumed[record.seq] = resumed
                if record.parent_id not in known and (parent := delivered_parent(self._journal, record)) is not None:
                    self._parents[record.seq] = parent
        if not trees:
            return
        rests = self._journal.outbox.tree_rests(list(trees))
        for (root_id, seqs), (has_ended, unsettled) in zip(trees.items(), rests, strict=True):
            trace_id = root_id.replace("-", "")
            if has_ended and seqs.issuperset(unsettled):
                self._unfinished.discard(trace_id)
            else:
                self._unfinished.add(trace_id)

    def _without_trees(self, leased: Sequence[Record]) -> list[Record]:
        """The leased records that are sent without their trees. Each call gets a separate trace, which is sent next."""
        runs = [record.seq for record in leased if record.is_run]
        if runs:
            self._journal.outbox.park(runs, "held", "left out by plsync run --no-trees")
        members = [record for record in leased if not record.is_run and record.root_id is not None]
        if own := [record.seq for record in members if not record.renewed]:
            # The ids of a trace are stored before the trace is sent.
            self._journal.outbox.park(own, "in_doubt", "to be sent without its tree", self._settled_ms())
            self._journal.outbox.renew(own, "to be sent without its tree")
        taken = {*runs, *own}
        return [record for record in leased if record.seq not in taken]

    def _last_results(self) -> list[_BatchResult]:
        """The results that come within the grace of a stop. The records of all other requests become in doubt."""
        results: list[_BatchResult] = []
        deadline = time.monotonic() + self._policy.grace
        while self._threads.busy and (left := deadline - time.monotonic()) > 0:
            results += [result for _, result in self._queue.collect(left)]
        unanswered = [record.seq for batch in self._threads.abandon() for record in batch]
        if unanswered:
            self._journal.outbox.park(unanswered, "in_doubt", "stopped before the response came", self._settled_ms())
        return results

    def _send_batch(self, records: list[Record]) -> _BatchResult:
        """Send one batch. Runs in a request thread.

        PromptLayer stores a batch whole or not at all, so a refused batch is halved until the refused record is alone.
        Quarantined records go in parts, one request after the other.
        """
        result = _BatchResult()
        requests = Requests(self._translated(records, result), self._unfinished, self._quarantine.split)
        self._queue.translated(records)
        began = time.monotonic()
        while requests:
            part = requests.take()
            too_long = time.monotonic() - began > self._policy.longest_send / 2
            if self._halted or (result.outcomes and (too_long or self._stopped())):
                result.unsent += [span.record for span in part.spans]
                continue
            sent_at = time.monotonic()
            outcome = self._client.send([span.body for span in part.spans], close=part.closes)
            result.timings.append((sum(span.record.size for span in part.spans), time.monotonic() - sent_at, outcome))
            if isinstance(outcome, Refused) and len(part.spans) > 1:
                requests.halve(part)
                continue
            if isinstance(outcome, Refused) and outcome.foreign:
                outcome = self._confirm(outcome)
            if isinstance(outcome, Refused) and requests.refuse(part, outcome.reason):
                continue
            if isinstance(outcome, Delivered) and outcome.closed:
                outcome = self._without_late(part, outcome, result)
            if RULES[type(outcome)].action is not Action.CONTINUE:
                self._halted = True
            late = set(map(id, result.late))
            result.outcomes.append(([span.record for span in part.spans if id(span.record) not in late], outcome))
        for trace_id in requests.unclosed if not self._halted else ():
            # The trace stays open if this fails. PromptLayer shows an open trace, too.
            self._client.close_trace(trace_id)
        return result

    def _without_late(self, part: Part, delivered: Delivered, result: _BatchResult) -> Delivered:
        """Look up the spans of trees that a closed trace has rejected.

        PromptLayer has a span from an earlier request whose response was lost. Or its record ended after its tree was
        sent: then the record is late.
        """
        rejected = [span for span in part.spans if span.in_tree and span.record.span_id in delivered.closed]
        ids, closed = dict(delivered.request_ids), set(delivered.closed)
        for trace_id in dict.fromkeys(span.trace_id for span in rejected):
            found = self._client.look_up(trace_id)
            for span in rejected:
                span_id = span.record.span_id
                if span.trace_id != trace_id or not isinstance(found, Found):
                    continue
                if span_id not in found.request_ids:
                    result.late.append(span.record)
                elif span.record.is_run:
                    closed.discard(span_id)
                elif (request_id := found.request_ids[span_id]) is not None:
                    ids[span_id] = request_id
        return replace(delivered, request_ids=ids, closed=frozenset(closed))

    def _confirm(self, refused: Refused) -> Outcome:
        """Accept a refusal that is not PromptLayer's JSON only if a probe reaches PromptLayer.

        A proxy that refuses every request would otherwise make every record of the journal dead.
        """
        probed = self._client.probe()
        if isinstance(probed, Missing | Found):
            return refused
        return Misdirected(refused.reason) if isinstance(probed, Refused) else probed

    def _translated(self, records: Sequence[Record], result: _BatchResult) -> list[Span]:
        spans = []
        ends = _ends_of_trees(records)
        for record in records:
            try:
                resumed = self._resumed.get(record.seq)
                body = span_json(
                    record,
                    resumed=resumed,
                    parent=self._parents.get(record.seq),
                    open_until=ends.get(record.trace_id, 0),
                    links=self._trees,
                )
                spans.append(Span(record, body, record.trace_id, record.in_tree()))
            except MemoryError:
                # A shortage passes, so the record is sent later.
                raise
            except Exception as error:
                reason = f"plsync could not translate it ({type(error).__name__}: {error}); please report this"
                result.untranslated.append((record, reason))
            record.drop_content()
        return spans

    def _settle(self, results: Iterable[_BatchResult], report: PassReport) -> None:
        """Store the outcomes in the journal."""
        acks: list[tuple[int, int | None]] = []
        for result in results:
            for size, seconds, outcome in result.timings:
                self._sizer.observe(size, seconds, outcome)
            for records, outcome in result.outcomes:
                self._quarantine.observe(records, outcome)
                for record in records:
                    self._resumed.pop(record.seq, None)
                    self._parents.pop(record.seq, None)
                if isinstance(outcome, Delivered):
                    acks += self._acks(records, outcome, report)
                else:
                    self._settle_failure(records, outcome, report)
            if result.late:
                reason = "the trace of its tree was closed before: it is sent as a trace that links to it"
                late = [record.seq for record in result.late]
                self._journal.outbox.park(late, "in_doubt", reason, self._settled_ms())
                self._journal.outbox.renew(late, reason)
                report.resent += report.count(result.late)
            for record, reason in result.untranslated:
                self._journal.outbox.park([record.seq], "dead", reason)
                report.dead += report.count([record])
            if result.unsent:
                self._journal.outbox.release([record.seq for record in result.unsent], 0, "not sent yet")
        if acks:
            self.binding.check()
            report.acked += self._journal.outbox.ack(acks)
        self._on_progress(report)

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
            self._journal.outbox.park(without_log, "in_doubt", reason, self._settled_ms())
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
            due_ms = self._settled_ms(self._quarantine.backoff_factor(records))
            self._journal.outbox.park(seqs, "in_doubt", outcome.reason, due_ms)
            report.in_doubt += report.count(records)
        else:
            wait = (outcome.retry_after or 0.0) if isinstance(outcome, Throttled) else 0.0
            self._journal.outbox.release(seqs, now_ms() + int(wait * 1000), outcome.reason)
        if rule.action is not Action.CONTINUE:
            report.halt = outcome

    def _settled_ms(self, factor: int = 1) -> int:
        """The time, in ms since the epoch, at which a request that ends now has settled."""
        return now_ms() + int(self._policy.settle * factor * 1000)


def _ends_of_trees(records: Sequence[Record]) -> dict[str, int]:
    """The last time in each trace that has a step whose process died, in ns since the epoch."""
    died = {record.trace_id for record in records if record.is_run and record.stored_end() == "abandoned"}
    ends: dict[str, int] = {}
    for record in records if died else ():
        if record.trace_id in died:
            last = record.ended_ns or record.started_ns
            ends[record.trace_id] = max(ends.get(record.trace_id, 0), last)
    return ends
