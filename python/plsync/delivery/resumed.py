"""Finds the interrupted graph that another run of the graph continues. LangGraph reports the two as separate runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from plsync.journal.record import Record

if TYPE_CHECKING:
    from plsync.journal.journal import Journal

__all__ = ["resumed_graph"]

# Nodes of an interrupted graph are interrupted too, and other conversations may wait for people.
_MAX_SEARCHED: Final = 200
_CONVERSATIONS: Final = ("thread_id", "session_id", "conversation_id")


def resumed_graph(journal: Journal, record: Record) -> str | None:
    """The id of the root that waited for a person, and that a root of the same conversation continues.

    Args:
        journal: the journal.
        record: any record. Only a root without a new input continues a graph.
    """
    if not record.is_run or record.parent_id is not None or not _resumes(record):
        return None
    conversation = _conversation(record)
    if conversation is None:
        return None
    found = journal.interrupted_before(record.id, _MAX_SEARCHED)
    return next((root.id for root in found if _is_root(root) and _conversation(root) == conversation), None)


def _is_root(record: Record) -> bool:
    return record.is_run and record.parent_id is None


def _resumes(record: Record) -> bool:
    """Whether the input is LangGraph's ``Command`` with an answer, or nothing."""
    sent: Any = record.plain_events()[0].get("input")
    return sent is None or (isinstance(sent, dict) and sent.get("resume") is not None)


def _conversation(record: Record) -> str | None:
    metadata = record.metadata
    return next((str(metadata[key]) for key in _CONVERSATIONS if metadata.get(key) is not None), None)
