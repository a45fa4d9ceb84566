"""The messages that a call repeats from the call before it in the same conversation."""

from __future__ import annotations

from itertools import islice
from typing import Any, Final

from plsync.journal.conditions import thread_of
from plsync.journal.filters import Filters
from plsync.journal.journal import Journal
from plsync.journal.record import Record

__all__ = ["earlier", "message_key", "repeated"]

# An agent may make other calls in between.
_COMPARED: Final = 5
_SAME: Final = ("type", "role", "content", "tool_calls", "tool_call_id")
_LEAST: Final = 2


def earlier(journal: Journal, record: Record) -> dict[str, Any] | None:
    """How many messages at its start a call repeats, and from which call; None if it repeats fewer than two."""
    if record.is_run or record.kind != "chat" or len(record.input) <= _LEAST:
        return None
    found = max(
        ((repeated(before, record), before.id) for before in islice(_before(journal, record), _COMPARED)),
        key=lambda pair: pair[0],
        default=(0, ""),
    )
    return {"same": found[0], "as": found[1]} if found[0] >= _LEAST else None


def repeated(before: Record, record: Record) -> int:
    """How many messages at its start a call repeats from a call before, and from the response to that call."""
    known = [*before.input, *(generation["message"] for generation in before.output[:1] if generation["message"])]
    same = 0
    for one, other in zip(known, record.input, strict=False):
        if message_key(one) != message_key(other):
            break
        same += 1
    return same


def _before(journal: Journal, record: Record) -> Any:
    if (thread := thread_of(record.metadata)) is not None:
        filters: Filters = {"thread": thread, "until": record.started_at}
        return (one for one in journal.records(limit=_COMPARED + 1, **filters) if one.id < record.id)
    if record.root_id is not None:
        calls = journal.tree(record.id).calls
        return (one for one in reversed(calls) if one.id < record.id)
    return iter(())


def message_key(message: Any) -> Any:
    """The parts of a message by which two messages are the same."""
    if not isinstance(message, dict):
        return message
    kind = str(message.get("type", "")).removesuffix("MessageChunk").lower()
    return [kind, *(message.get(name) or None for name in _SAME[1:])]
