"""Finds the parent of a span in place of one that PromptLayer refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

if TYPE_CHECKING:
    from plsync.journal.journal import Journal
    from plsync.journal.record import Record

__all__ = ["delivered_parent"]

_MAX_DEPTH: Final = 1000


def delivered_parent(journal: Journal, record: Record) -> str | None:
    """The id of the nearest ancestor that PromptLayer did not refuse; None if the parent was not refused.

    Args:
        journal: the journal.
        record: a record of a tree. Its parent was sent in an earlier request.
    """
    parent_id, depth = record.parent_id, 0
    while parent_id is not None and depth < _MAX_DEPTH:
        parent = journal.outbox.find(UUID(parent_id).bytes)
        if parent is None or parent.state != "dead":
            break
        parent_id, depth = parent.parent_id or record.root_id, depth + 1
        if parent.id == record.root_id:
            return None
    return parent_id if depth else None
