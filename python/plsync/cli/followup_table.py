"""Follow-ups for people: as a table for ``list --follow-ups``, and as a line of ``show`` and ``status``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, cast
from uuid import UUID

import orjson
from rich.text import Text

from plsync.cli import humanize
from plsync.cli.output import escaped, one_line
from plsync.journal.filters import Filters
from plsync.journal.followups import FollowUp, FollowUpState
from plsync.journal.journal import Journal
from plsync.journal.lookup import abbreviate

__all__ = ["FOLLOW_UP_STATES", "find_follow_ups", "follow_up_lines", "follow_up_state", "follow_up_text", "short_name"]

FOLLOW_UP_STATES: Final[dict[str, FollowUpState]] = {"waiting": "pending", "refused": "dead", "sent": "sent"}
"""The words of the command for the states of follow-ups."""

_HEADINGS: Final = ("QUEUED", "OF", "REQUEST", "FOLLOW-UP", "STATE")
_MOST_PAYLOAD: Final = 100
_ID_DIGITS: Final = 12


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


def follow_up_lines(followups: Sequence[FollowUp], width: int) -> Iterator[Text]:
    """A heading, then one line per follow-up, no line longer than ``width``."""
    rows = [[Text(name, style="bold") for name in _HEADINGS], *map(_cells, followups)]
    widths = [max(row[column].cell_len for row in rows) for column in range(len(_HEADINGS))]
    for row in rows:
        for cell, widest in zip(row[:-1], widths[:-1], strict=True):
            cell.pad_right(widest - cell.cell_len)
        line = Text("  ").join(row)
        line.rstrip()
        line.truncate(width, overflow="ellipsis")
        yield line


def _cells(followup: FollowUp) -> list[Text]:
    return [
        Text(humanize.local_time(followup.queued_at)),
        Text(_short_id(followup), style="yellow"),
        Text("" if followup.request_id is None else f"#{followup.request_id}"),
        follow_up_text(followup, 40),
        follow_up_state(followup),
    ]


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
    return f"of {_short_id(followup) or f'request {followup.request_id}'}: {followup.op} {value}"


def _short_id(followup: FollowUp) -> str:
    return "" if followup.record_id is None else abbreviate(str(UUID(followup.record_id)), _ID_DIGITS)
