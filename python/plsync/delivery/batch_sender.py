"""Sends one batch, in a request thread: translates its records, and divides and repeats its requests."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from plsync.delivery.policy import RULES, Action, SendPolicy
from plsync.delivery.requests import Part, Requests, Span
from plsync.promptlayer.mapping.blueprint import span_json
from plsync.promptlayer.outcomes import Delivered, Found, Misdirected, Missing, Outcome, Refused

if TYPE_CHECKING:
    from plsync.delivery.batching import Quarantine
    from plsync.delivery.tree_links import TreeLinks
    from plsync.journal.record import Record
    from plsync.promptlayer.client import PromptLayerClient

__all__ = ["BatchResult", "BatchSender"]


@dataclass
class BatchResult:
    """The results of sending one batch: of one request, or of several after a split or a refusal."""

    outcomes: list[tuple[list[Record], Outcome]] = field(default_factory=list)
    timings: list[tuple[int, float, Outcome]] = field(default_factory=list)
    """For each request: its bytes of events, its seconds, its outcome."""
    unsent: list[Record] = field(default_factory=list)
    untranslated: list[tuple[Record, str]] = field(default_factory=list)
    late: list[Record] = field(default_factory=list)
    """Records whose trace was closed before, without their spans."""


class BatchSender:
    """Sends batches. Any number of threads may call :meth:`send`.

    Args:
        client: the connection to PromptLayer.
        policy: the times to wait.
        quarantine: divides the records that failed before.
        links: the trees of the leased records.
        stopped: read between requests. Once it returns True the rest of a batch is not sent.
        on_translated: called with the records of a batch once only their JSON is left in memory.
    """

    def __init__(
        self,
        client: PromptLayerClient,
        policy: SendPolicy,
        quarantine: Quarantine,
        links: TreeLinks,
        *,
        stopped: Callable[[], bool],
        on_translated: Callable[[list[Record]], None],
    ) -> None:
        self._client = client
        self._policy = policy
        self._quarantine = quarantine
        self._links = links
        self._stopped = stopped
        self._on_translated = on_translated
        self.halted = False
        """An outcome has ended the pass: no further request begins."""

    def send(self, records: list[Record]) -> BatchResult:
        """Send one batch. Runs in a request thread.

        PromptLayer stores a batch whole or not at all, so a refused batch is halved until the refused record is alone.
        Quarantined records go in parts, one request after the other.
        """
        result = BatchResult()
        requests = Requests(self._translated(records, result), self._links.unfinished, self._quarantine.split)
        self._on_translated(records)
        began = time.monotonic()
        while requests:
            part = requests.take()
            too_long = time.monotonic() - began > self._policy.longest_send / 2
            if self.halted or (result.outcomes and (too_long or self._stopped())):
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
                self.halted = True
            late = set(map(id, result.late))
            result.outcomes.append(([span.record for span in part.spans if id(span.record) not in late], outcome))
        for trace_id in requests.unclosed if not self.halted else ():
            # The trace stays open if this fails. PromptLayer shows an open trace, too.
            self._client.close_trace(trace_id)
        return result

    def _without_late(self, part: Part, delivered: Delivered, result: BatchResult) -> Delivered:
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

    def _translated(self, records: Sequence[Record], result: BatchResult) -> list[Span]:
        spans = []
        ends = _ends_of_trees(records)
        for record in records:
            try:
                resumed = self._links.resumed.get(record.seq)
                body = span_json(
                    record,
                    resumed=resumed,
                    parent=self._links.parents.get(record.seq),
                    open_until=ends.get(record.trace_id, 0),
                    links=self._links.enabled,
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


def _ends_of_trees(records: Sequence[Record]) -> dict[str, int]:
    """The last time in each trace that has a step whose process died, in ns since the epoch."""
    died = {record.trace_id for record in records if record.is_run and record.stored_end() == "abandoned"}
    ends: dict[str, int] = {}
    for record in records if died else ():
        if record.trace_id in died:
            last = record.ended_ns or record.started_ns
            ends[record.trace_id] = max(ends.get(record.trace_id, 0), last)
    return ends
