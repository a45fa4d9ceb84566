"""The places of leased records in their trees: parents, continued graphs, and traces that stay open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from plsync.delivery.ancestors import delivered_parent
from plsync.delivery.resumed import resumed_graph

if TYPE_CHECKING:
    from plsync.journal.journal import Journal
    from plsync.journal.record import Record

__all__ = ["TreeLinks"]


class TreeLinks:
    """The links of the records that a sender has leased.

    Args:
        journal: the journal.
        enabled: whether agents are sent as trees.
    """

    def __init__(self, journal: Journal, *, enabled: bool) -> None:
        self._journal = journal
        self.enabled = enabled
        self.resumed: dict[int, str] = {}
        """The roots that continue an interrupted graph, by their records."""
        self.parents: dict[int, str] = {}
        """The nearest ancestors that PromptLayer accepted, of records whose parents it refused before."""
        # A tree is in one lane, and a lane in one batch at a time.
        self.unfinished: set[str] = set()
        """The traces of trees that will have more records."""

    def drop(self, records: Iterable[Record]) -> None:
        """Drop the links of records that have an outcome."""
        for record in records:
            self.resumed.pop(record.seq, None)
            self.parents.pop(record.seq, None)

    def note(self, leased: Sequence[Record]) -> None:
        """Note which trees of the leased records will have more records, and which continue another tree."""
        trees: dict[str, set[int]] = {}
        known = {record.id for record in leased}
        for record in leased:
            if record.root_id is not None and record.in_tree():
                trees.setdefault(record.root_id, set()).add(record.seq)
                if (resumed := resumed_graph(self._journal, record)) is not None:
                    self.resumed[record.seq] = resumed
                if record.parent_id not in known and (parent := delivered_parent(self._journal, record)) is not None:
                    self.parents[record.seq] = parent
        if not trees:
            return
        rests = self._journal.outbox.tree_rests(list(trees))
        for (root_id, seqs), (has_ended, unsettled) in zip(trees.items(), rests, strict=True):
            trace_id = root_id.replace("-", "")
            if has_ended and seqs.issuperset(unsettled):
                self.unfinished.discard(trace_id)
            else:
                self.unfinished.add(trace_id)
