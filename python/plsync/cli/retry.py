"""``plsync retry``."""

from __future__ import annotations

from typing import Annotated, Literal, cast

import typer

from plsync.cli import humanize, options
from plsync.cli.console import json_line, out, safe
from plsync.journal.journal import Journal
from plsync.journal.record import Record

__all__ = ["retry"]

_PAGE = 1000

_IDS = typer.Argument(metavar="ID", help="Records: ids, abbreviations, run ids or request ids.", show_default=False)
_FOLLOW_UPS = typer.Option("--follow-ups", help="All follow-ups that PromptLayer refused.")
_CALLBACKS = typer.Option("--callbacks", help="All callbacks that were given up.")


def _given_up(value: str) -> str:
    if value not in {"dead", "held"}:
        raise typer.BadParameter(f"{value!r} is neither dead nor held: everything else is sent by itself")
    return value


_STATE = typer.Option("--state", metavar="STATE", parser=_given_up, help="All records in this state: dead or held.")


def retry(
    ids: Annotated[list[str] | None, _IDS] = None,
    *,
    state: Annotated[list[str] | None, _STATE] = None,
    follow_ups: Annotated[bool, _FOLLOW_UPS] = False,
    callbacks: Annotated[bool, _CALLBACKS] = False,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Give what was refused or given up another try with the next `plsync run`.

    A record that is named brings its refused follow-ups along. What still waits needs no retry.
    """
    if not (ids or state or follow_ups or callbacks):
        raise typer.BadParameter("name records, or say --state, --follow-ups or --callbacks")
    with Journal.open(journal) as opened:
        named = [opened.get(found) for found in ids or []]
        moved = {
            "records": _records(opened, named, cast("list[Literal['dead', 'held']]", state or [])),
            "followups": _follow_ups(opened, named, everything=follow_ups),
            "callbacks": opened.callbacks.requeue() if callbacks else 0,
        }
    if json:
        json_line(moved)
        return
    nouns = {"records": "record", "followups": "follow-up", "callbacks": "callback"}
    what = [humanize.count(number, nouns[name]) for name, number in moved.items() if number]
    line = (
        f"{', '.join(what)}: to be tried again by `plsync run`." if what else "Nothing there was refused or given up."
    )
    out().print(safe(line))


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
