"""``plsync retry``."""

from __future__ import annotations

from typing import Annotated, Literal, cast

import typer

from plsync.cli import humanize, options
from plsync.cli.output import print_json, print_line
from plsync.cli.usage_errors import bad_value
from plsync.journal.journal import Journal
from plsync.journal.record import Record

__all__ = ["retry"]

_PAGE = 1000
_NOUNS = {"records": "record", "followups": "follow-up", "callbacks": "callback"}

_IDS = typer.Argument(metavar="ID", help="Records: ids, first digits, run ids or request ids.", show_default=False)
_FOLLOW_UPS = typer.Option("--follow-ups", help="All follow-ups that PromptLayer refused.")
_CALLBACKS = typer.Option("--callbacks", help="All callbacks that plsync gave up.")


def parse_state(value: str) -> str:
    """``dead`` or ``held``, the states that plsync never leaves without a retry.

    Raises:
        BadParameter: the value is another state or no state.
    """
    if value not in {"dead", "held"}:
        raise bad_value(value, "choose dead or held; records in other states need no retry")
    return value


_STATE = typer.Option("--state", metavar="STATE", parser=parse_state, help="All records in this state: dead or held.")


def retry(
    ids: Annotated[list[str] | None, _IDS] = None,
    *,
    state: Annotated[list[str] | None, _STATE] = None,
    follow_ups: Annotated[bool, _FOLLOW_UPS] = False,
    callbacks: Annotated[bool, _CALLBACKS] = False,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Let the next `plsync run` retry refused or held records, refused follow-ups and failed callbacks.

    A record id also retries the record's refused follow-ups. Waiting records need no retry.

    Examples:
        plsync retry --state dead
        plsync retry 01a22867
        plsync retry --follow-ups --callbacks
    """
    if not (ids or state or follow_ups or callbacks):
        raise typer.BadParameter("nothing to retry: pass ids, --state, --follow-ups or --callbacks")
    with Journal.open(journal) as opened:
        named = [opened.get(record_id) for record_id in ids or []]
        moved = {
            "records": _records(opened, named, cast("list[Literal['dead', 'held']]", state or [])),
            "followups": _follow_ups(opened, named, everything=follow_ups),
            "callbacks": opened.callbacks.requeue() if callbacks else 0,
        }
    if json:
        print_json(moved)
        return
    counts = ", ".join(humanize.count(number, _NOUNS[name]) for name, number in moved.items() if number)
    line = (
        f"{counts} to retry in the next `plsync run`."
        if counts
        else "Nothing to retry: no refused record or follow-up and no failed callback matches."
    )
    print_line(line)


def _records(journal: Journal, named: list[Record], states: list[Literal["dead", "held"]]) -> int:
    moved = journal.outbox.requeue([record.seq for record in named])
    for state in states:
        seqs = [record.seq for record in journal.records(state=state)]
        moved += sum(journal.outbox.requeue(seqs[at : at + _PAGE]) for at in range(0, len(seqs), _PAGE))
    return moved


def _follow_ups(journal: Journal, named: list[Record], *, everything: bool) -> int:
    if everything:
        return journal.followups.requeue()
    return sum(journal.followups.requeue(record.id) for record in named)
