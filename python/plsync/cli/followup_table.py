"""Follow-ups for people: as a table for ``list --follow-ups``, and as a line of ``show`` and ``status``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, cast
from uuid import UUID

import orjson
from rich.text import Text

from plsync.cli import humanize
from plsync.cli.columns import short_time, table_lines
from plsync.cli.output import escaped, one_line
from plsync.journal.filters import Filters
from plsync.journal.followups import FollowUp, FollowUpState
from plsync.journal.journal import Journal
from plsync.journal.lookup import abbreviate
from plsync.journal.short_ids import short_end

__all__ = ["FOLLOW_UP_STATES", "find_follow_ups", "follow_up_lines", "follow_up_state", "follow_up_text", "short_name"]

FOLLOW_UP_STATES: Final[dict[str, FollowUpState]] = {"waiting": "pending", "refused": "dead", "sent": "sent"}
"""The words of the command for the states of follow-ups."""

_QUEUED, _REQUEST, _FOLLOW_UP, _STATE = "QUEUED", "REQUEST", "FOLLOW-UP", "STATE"
_MOST_PAYLOAD: Final = 100
_WIDEST: Final = 40
_ID_DIGITS: Final = 12
# The room that the state gets. Of a refused follow-up it has the reason.
_LEAST_STATE: Final = 30
_STEPS: Final = ((_FOLLOW_UP, 24), (_QUEUED, 0), (_REQUEST, 0), (_FOLLOW_UP, 14))


def find_follow_ups(journal: Journal, word: str, filters: Filters) -> Iterator[FollowUp]:
    """The follow-ups of a state whose records pass every filter, the newest record first.

    Args:
        journal: the journal.
        word: a key of :data:`FOLLOW_UP_STATES`.
        filters: filters of records. A request without a record passes no filter.
    """
    for followup in journal.followups.by_state(FOLLOW_UP_STATES[word]):
        record_id = followup.record_id
        if not filters or (record_id is not None and journal.peek(record_id, **filters) is not None):
            yield followup


def follow_up_lines(followups: Sequence[FollowUp], width: int, total: int, *, is_full: bool = False) -> Iterator[Text]:
    """A heading, then one line per follow-up, no line longer than ``width``.

    Args:
        followups: the follow-ups.
        width: the greatest length of a line.
        total: the number of records in the journal, for their short ids.
        is_full: every column and whole times, as programs want them.
    """
    rows = [_cells(followup, total, is_full=is_full) for followup in followups]
    yield from table_lines(rows, width, _STATE, _LEAST_STATE, () if is_full else _STEPS)


def _cells(followup: FollowUp, total: int, *, is_full: bool) -> dict[str, Text]:
    return {
        _QUEUED: short_time(followup.queued_at, is_full=is_full),
        "OF": Text("" if followup.record_id is None else short_end(followup.record_id, total), style="yellow"),
        _REQUEST: Text("" if followup.request_id is None else f"#{followup.request_id}"),
        _FOLLOW_UP: follow_up_text(followup, _WIDEST),
        _STATE: follow_up_state(followup),
    }


def follow_up_text(followup: FollowUp, limit: int = _MOST_PAYLOAD) -> Text:
    """The operation and its arguments."""
    return Text(f"{followup.op} ") + one_line(orjson.dumps(followup.payload).decode(), limit)


def follow_up_state(followup: FollowUp) -> Text:
    """The state, with the time of the delivery or the reason of the last failure."""
    if followup.sent_at is not None:
        return Text(f"sent {humanize.local_time(followup.sent_at)}", style="green")
    reason = f": {followup.last_error}" if followup.last_error else ""
    if followup.state == "dead":
        return escaped(f"refused{reason}", "red")
    tries = f" after {humanize.count(followup.attempts, 'attempt')}" if followup.attempts else ""
    waits = "waits to be sent" if followup.request_id is not None else "waits for the request id"
    return escaped(f"{waits}{tries}{reason}", "yellow")


def short_name(followup: FollowUp) -> str:
    """The record or request of a follow-up, and its main argument: ``of 01a22867-06f: prompt "example"``."""
    payload = followup.payload
    value = {
        "score": lambda: f"{payload.get('score')}" + (f' "{payload["name"]}"' if payload.get("name") else ""),
        "metadata": lambda: ", ".join(map(str, cast("dict[str, str]", payload.get("metadata") or {}))),
        "prompt": lambda: f'"{payload.get("prompt_name")}"',
        "group": lambda: f"{payload.get('group_id')}",
    }[followup.op]()
    return f"of {_beginning(followup) or f'request {followup.request_id}'}: {followup.op} {value}"


def _beginning(followup: FollowUp) -> str:
    return "" if followup.record_id is None else abbreviate(str(UUID(followup.record_id)), _ID_DIGITS)
