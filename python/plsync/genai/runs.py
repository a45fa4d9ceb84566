"""The facts of a run that is not a call: a chain, a prompt, a parser, a tool or a retriever."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from plsync.errors import RecordNotFound
from plsync.journal.tree import Run, inherits_metadata

if TYPE_CHECKING:
    from plsync.journal.journal import Journal
    from plsync.journal.record import Record

__all__ = ["InheritedMetadata", "finder", "run_facts"]

# An agent has a few levels; a graph that calls itself has more.
_DEEPEST: Final = 200
_REMEMBERED: Final = 2_000


def run_facts(record: Record) -> dict[str, Any]:
    """The columns that only a run has: its input and its output, and the id of the tool call."""
    run = Run(record)
    return {"tool_call_id": run.tool_call_id, "run_input": run.input, "run_output": run.output}


def finder(journal: Journal) -> Callable[[str], Record | None]:
    """A function that returns the record of an id; None if it is not in the journal."""

    def find(record_id: str) -> Record | None:
        try:
            return journal.get(record_id)
        except RecordNotFound:
            return None

    return find


class InheritedMetadata:
    """The whole metadata of runs, each of which stores only the entries that its parent does not have.

    Args:
        find: returns the record of an id; None if it is not in the journal.
    """

    def __init__(self, find: Callable[[str], Record | None]) -> None:
        self._find = find
        self._known: OrderedDict[str, dict[str, Any]] = OrderedDict()

    def of(self, record: Record) -> dict[str, Any]:
        """The metadata of a run, with the entries that it inherits."""
        above: list[Record] = []
        current: Record | None = record
        inherited: dict[str, Any] = {}
        while current is not None and len(above) < _DEEPEST:
            above.append(current)
            parent = current.parent_id
            if parent is None or not inherits_metadata(current):
                break
            if (known := self._known.get(parent)) is not None:
                inherited = known
                break
            current = self._find(parent)
        for each in reversed(above):
            inherited = {**inherited, **each.metadata}
            self._remember(each.id, inherited)
        return inherited

    def _remember(self, record_id: str, metadata: dict[str, Any]) -> None:
        self._known[record_id] = metadata
        while len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)
