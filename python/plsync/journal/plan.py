"""How the store runs a query: the conditions that it checks itself, and the conditions that its caller checks.

The store checks the thread and the duration of a call by labels and digests, once every record has its digest. Before,
it returns each record that may pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from plsync.journal.conditions import Condition, lane_of_thread
from plsync.journal.filters import Query, label_value, model_names
from plsync.journal.record import STATES, Record

if TYPE_CHECKING:
    from plsync._common.native import Row, Store

__all__ = ["Plan"]

_LONGEST_LABEL: Final = 255


@dataclass(frozen=True, slots=True)
class Plan:
    """A query, as one store runs it."""

    arguments: dict[str, Any]
    """Keyword arguments for ``Store.query``, which then returns every record that may pass."""
    left: tuple[Condition, ...]
    """The conditions that the returned records must meet."""

    @classmethod
    def of(cls, query: Query, store: Store) -> Plan:
        """The plan for a store."""
        is_digested = (query.thread is None and query.slower is None) or store.undigested_count()[1] == 0
        left: list[Condition] = list(query.metadata)
        any_labels = query.any_labels
        texts = [text for condition in query.metadata for text in condition.texts()]
        found: dict[str, Any] = {
            "labels": query.labels,
            "states": query.states,
            "ended": query.ended,
            "since": query.since,
            "until": query.until,
            "text": query.text,
            "runs": query.runs,
        }
        if query.model is not None:
            names = [name for name in model_names(store) if query.model.matches(name)]
            any_labels = (*any_labels, tuple(("m", label_value(name)) for name in names))
        if query.thread is not None:
            thread = query.thread.thread.encode()
            if is_digested:
                any_labels = (*any_labels, (("c", thread[:_LONGEST_LABEL]),))
            else:
                # Lane 0 has the records of writers that compute no lanes.
                found["lanes"] = (0, lane_of_thread(query.thread.thread))
                texts += [query.thread.thread] if thread else []
            if not is_digested or len(thread) > _LONGEST_LABEL:
                left.append(query.thread)
        if query.slower is not None:
            found["min_elapsed"] = query.slower.ns
            if not is_digested:
                left.append(query.slower)
        if query.delivered is not None:
            either = {state for state, removed in query.delivered.states if removed is None}
            found["removed"] = [
                (STATES.index(state), removed)
                for state, removed in sorted(query.delivered.states, key=str)
                if removed is not None and state not in either
            ]
        if texts:
            found["start_texts"] = texts
        return cls({**found, "any_labels": any_labels}, tuple(left))

    @property
    def reads_content(self) -> bool:
        """Whether the store reads the content of records for the query."""
        return bool(self.arguments["text"] or self.arguments.get("start_texts") or self.left)

    def passes(self, row: Row) -> bool:
        """Whether a row that the store returned passes."""
        return not self.left or all(condition.passes(Record(row)) for condition in self.left)
