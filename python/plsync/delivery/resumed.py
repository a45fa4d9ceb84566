"""Finds the interrupted graph that another run of the graph continues. LangGraph reports the two as separate runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from plsync.journal.conditions import thread_of
from plsync.journal.record import Record

if TYPE_CHECKING:
    from plsync.journal.journal import Journal

__all__ = ["resumed_graph"]

# Nodes and subgraphs of an interrupted graph are interrupted, too.
_MAX_SEARCHED: Final = 200


def resumed_graph(journal: Journal, record: Record) -> str | None:
    """The id of the root that waited for a person, and that a root of the same conversation continues.

    Args:
        journal: the journal.
        record: any record. Only a root without a new input continues a graph.
    """
    if not record.is_run or record.parent_id is not None or not _resumes(record):
        return None
    thread = thread_of(record.metadata)
    if thread is None:
        return None
    found = journal.interrupted_before(record.id, thread, _MAX_SEARCHED)
    return next((root.id for root in found if root.is_run and root.parent_id is None), None)


def _resumes(record: Record) -> bool:
    """Whether the input is LangGraph's ``Command`` with an answer, or nothing. A hook may have removed a new input."""
    sent: Any = record.plain_events()[0].get("input")
    if sent is None:
        return not record.redacted
    return isinstance(sent, dict) and sent.get("resume") is not None
