"""``plsync list``."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import chain, islice
from typing import Annotated

import typer

from plsync.cli import options
from plsync.cli.followup_table import FOLLOW_UP_STATES, find_follow_ups, follow_up_lines
from plsync.cli.nothing_found import nothing_found
from plsync.cli.output import print_json, print_lines, print_note, stdout_console
from plsync.cli.record_table import Table
from plsync.cli.usage_errors import bad_value, wrong_usage
from plsync.journal.filters import Filters
from plsync.journal.followups import FollowUp
from plsync.journal.journal import Journal
from plsync.journal.record import Record

__all__ = ["list_records"]

# A count that reads more records than this costs more time than the list.
_COUNTED = 10_000


def parse_follow_ups(value: str) -> str:
    """The state of follow-ups.

    Raises:
        BadParameter: there is no such state.
    """
    if value not in FOLLOW_UP_STATES:
        raise bad_value(value, f"choose from {', '.join(FOLLOW_UP_STATES)}")
    return value


_FOLLOW_UPS = typer.Option(
    "--follow-ups",
    metavar="STATE",
    parser=parse_follow_ups,
    help=f"List follow-ups instead, the newest record first: {', '.join(FOLLOW_UP_STATES)}.",
)


@options.filtered
def list_records(
    *,
    filters: Filters,
    follow_ups: Annotated[str | None, _FOLLOW_UPS] = None,
    limit: options.Limit = 20,
    oldest_first: options.OldestFirst = False,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """List records, newest first.

    A record must pass every filter. With --json: one record per line, as
    `plsync show --json` prints it. With --follow-ups: the scores, metadata,
    prompt links and groups of these records.

    Examples:
        plsync list --since 2h
        plsync list --tag langchain --result error
        plsync list --text "capital of France" --json
    """
    with Journal.open(journal) as opened:
        if follow_ups is not None:
            if oldest_first:
                raise wrong_usage("--oldest-first", "--follow-ups lists the newest record first")
            _list_follow_ups(find_follow_ups(opened, follow_ups, filters), follow_ups, limit, json=json)
            return
        # One more record shows whether the list is cut.
        found = opened.records(limit=None if limit is None else limit + 1, oldest_first=oldest_first, **filters)
        first = next(found, None)
        if first is None:
            print_note(nothing_found(opened, filters))
            return
        page = chain([first], found)
        _print(opened, islice(page, limit), as_json=json)
        if next(page, None) is not None:
            print_note(_cut(opened, limit, filters, oldest_first=oldest_first))


def _print(journal: Journal, records: Iterator[Record], *, as_json: bool) -> None:
    if as_json:
        for record in records:
            print_json(record.as_dict())
        return
    console = stdout_console()
    is_full = not console.is_terminal and "COLUMNS" not in os.environ
    print_lines(console, Table.lines_of(records, console.width, journal.last_seq(), is_full=is_full))


def _list_follow_ups(followups: Iterator[FollowUp], word: str, limit: int | None, *, json: bool) -> None:
    found = list(islice(followups, limit))
    if json:
        for followup in found:
            print_json(followup.as_dict())
    elif found:
        console = stdout_console()
        print_lines(console, follow_up_lines(found, console.width))
    else:
        print_note(f"no follow-up is {word}" if word != "sent" else "no sent follow-up is kept")
    if next(followups, None) is not None:
        print_note(f"{limit} follow-ups shown; there are more: -n all shows all")


def _cut(journal: Journal, shown: int | None, filters: Filters, *, oldest_first: bool) -> str:
    total = journal.count(at_most=_COUNTED, **filters)
    of = f"{shown:,} records shown; there are more" if total is None else f"{shown:,} of {total:,} records shown"
    further = "--since shows newer records" if oldest_first else "--until shows older records"
    return f"{of}: -n all shows all, {further}"
