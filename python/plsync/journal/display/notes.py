"""The sentences about a record: how its call ended, and the next step of its delivery."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from plsync.journal import words
from plsync.journal.display.figures import count

if TYPE_CHECKING:
    from plsync.journal.record import Record

__all__ = ["delivery_note", "result_note"]

_NEXT: Final = {
    "pending": "`plsync run` sends it",
    "in_doubt": "`plsync run` looks it up before it resends it",
    "held": "kept here, not sent until `plsync retry`",
    "dead": "kept here, not sent until `plsync retry`",
    "carried": "in a bundle for a hub, which has not confirmed it",
    "received": "at a hub, which delivers it",
}
_RESULTS: Final = {
    "none": ": or its end is not written yet",
    "partial": ": the program stopped reading the stream before its end",
    "cancelled": ": the program cancelled the call",
    "abandoned": ": the process ended before the call did",
}


def result_note(record: Record) -> str:
    """Why a call has its result, behind the word for the result."""
    return _RESULTS.get(record.stored_end(), "")


def delivery_note(record: Record) -> str:
    """The next step for the record, and the reason of its last failure, behind the word for the delivery."""
    if record.state == "acked":
        where = f" to {record.server}" if record.server else ""
        return f"{where}, {_local_time(record.acked_at)}" if record.acked_at else where
    if record.forgotten:
        return f": {record.last_error}" if record.last_error else ""
    if record.state == "pending" and record.status == "pending":
        return ": `plsync run` sends it when the call has ended"
    tries = f" after {count(record.attempts, 'attempt')}" if record.attempts else ""
    if record.state == "leased":
        return tries
    # The reason is often a message of a server.
    reason = f": {record.last_error};" if record.last_error else ":"
    at = f"looks it up at {record.server}" if record.server else "looks it up"
    if words.delivery(record) == "dropped":
        return f"{tries}{reason} it cannot be sent"
    return f"{tries}{reason} {_NEXT[record.state].replace('looks it up', at)}"


def _local_time(at: datetime) -> str:
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"
