"""One pass over the outbox: ingest, look up records in doubt, send pending records, store the outcomes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from plsync.delivery.batch_queue import BatchQueue
from plsync.delivery.batch_sender import BatchResult, BatchSender
from plsync.delivery.batching import BatchSizer, Quarantine, split_into_batches
from plsync.delivery.binding import Binding
from plsync.delivery.limits import MAX_BATCH_BYTES, MAX_BATCH_RECORDS, MAX_IN_FLIGHT
from plsync.delivery.memory import MemoryBudget, process_budget
from plsync.delivery.policy import SendPolicy
from plsync.delivery.reconciler import Reconciler
from plsync.delivery.reports import PassReport
from plsync.delivery.settlement import Settlement
from plsync.delivery.tree_links import TreeLinks
from plsync.errors import JournalError
from plsync.journal.disk import is_full_disk
from plsync.promptlayer.outcomes import Ambiguous
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
        journal.outbox.set_tree_wait(int(policy.tree_wait * 1000) if trees else 0)
        self._links = TreeLinks(journal, enabled=trees)
        self._sizer = BatchSizer(policy.timeout, MAX_BATCH_BYTES) if sizer is None else sizer
        self._quarantine = Quarantine()
        self._batches = BatchSender(
            client,
            policy,
            self._quarantine,
            self._links,
            stopped=stopped,
            on_translated=self._translated,
        )
        self._threads: RequestThreads[list[Record], BatchResult] = RequestThreads(
            self._batches.send, in_flight, "plsync-send", start
        )
        self._queue = BatchQueue(self._threads, self._memory)
        self._reconciler = Reconciler(
            journal, client, policy, in_flight, lambda: stopped() or is_over(), send_last=self._quarantine.failed_alone
        )
        self._settlement = Settlement(
            journal, policy, self.binding, sizer=self._sizer, quarantine=self._quarantine, links=self._links
        )

    def _translated(self, batch: list[Record]) -> None:
        self._queue.translated(batch)

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
        self._journal.outbox.orphan_leases(
            self._policy.now_ms() - int(self._policy.longest_send * 1000), self._policy.settled_ms()
        )
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
        self._batches.halted = False
        while self._fill(report, state):
            if self._stopped():
                self._settlement.store(self._last_results(), report)
                self._on_progress(report)
                break
            if done := self._queue.collect(_POLL):
                self._settlement.store([result for _, result in done], report)
                self._on_progress(report)
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
        may_send = not (self._batches.halted or self._stopped() or self._is_over())
        if may_send:
            self._queue.submit()
        if may_send and state.refill and not state.expired and not self._queue.waiting:
            state.refill = self._lease(state)
        return self._threads.busy or (may_send and (state.blocked or self._queue.waiting))

    def _other_work_is_due(self) -> bool:
        """Whether a follow-up or a look-up is due."""
        now, followup_due = self._policy.now_ms(), self._journal.followups.next_due()
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
                self._policy.now_ms(),
                min(share.room, max_bytes * free),
                per_lane=size,
                bytes_per_lane=max_bytes,
                per_tree=per_tree,
                bytes_per_tree=min(share.room, MAX_BATCH_BYTES),
                fitting=not share.alone,
            )
            is_any = bool(leased)
            if self._links.enabled:
                self._links.note(leased)
            else:
                leased = self._without_trees(leased)
            self._queue.add(split_into_batches(leased, size, max_bytes))
        finally:
            self._memory.end(share)
        self._queue.submit()
        if is_any:
            self._memory.stop_waiting(self)
        elif not share.alone and self._journal.outbox.has_due(self._policy.now_ms()):
            # The next record does not fit beside the records under way.
            self._memory.wait_alone(self)
            state.blocked = True
        return is_any or state.blocked

    def _without_trees(self, leased: Sequence[Record]) -> list[Record]:
        """The leased records that are sent without their trees. Each call gets a separate trace, which is sent next."""
        runs = [record.seq for record in leased if record.is_run]
        if runs:
            self._journal.outbox.park(runs, "held", "left out by plsync run --no-trees")
        members = [record for record in leased if not record.is_run and record.root_id is not None]
        if own := [record.seq for record in members if not record.renewed]:
            # The ids of a trace are stored before the trace is sent.
            self._journal.outbox.park(own, "in_doubt", "to be sent without its tree", self._policy.settled_ms())
            self._journal.outbox.renew(own, "to be sent without its tree")
        taken = {*runs, *own}
        return [record for record in leased if record.seq not in taken]

    def _last_results(self) -> list[BatchResult]:
        """The results that come within the grace of a stop. The records of all other requests become in doubt."""
        results: list[BatchResult] = []
        deadline = time.monotonic() + self._policy.grace
        while self._threads.busy and (left := deadline - time.monotonic()) > 0:
            results += [result for _, result in self._queue.collect(left)]
        unanswered = [record.seq for batch in self._threads.abandon() for record in batch]
        if unanswered:
            reason = "stopped before the response came"
            self._journal.outbox.park(unanswered, "in_doubt", reason, self._policy.settled_ms())
        return results
