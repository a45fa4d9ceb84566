"""``plsync list``."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import Annotated

import typer

from plsync.cli import completion, humanize, options
from plsync.cli.followup_table import FOLLOW_UP_STATES, find_follow_ups, follow_up_lines
from plsync.cli.nothing_found import no_tree_found, nothing_found
from plsync.cli.output import is_for_program, print_json, print_lines, print_note, stdout_console
from plsync.cli.record_json import record_json
from plsync.cli.record_table import Table
from plsync.cli.tree_table import dropping_content, tree_lines
from plsync.cli.usage_errors import bad_value, wrong_usage
from plsync.journal.filters import Filters
from plsync.journal.followups import FollowUp
from plsync.journal.journal import Journal
from plsync.journal.record import Record
from plsync.journal.tree import Run

__all__ = ["list_records"]

# A count that reads more records than this costs more time than the list.
_COUNTED = 500_000


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
    autocompletion=completion.one_of(FOLLOW_UP_STATES),
    parser=parse_follow_ups,
    help=f"List follow-ups instead, the newest record first: {', '.join(FOLLOW_UP_STATES)}.",
)

_TREES = typer.Option("--trees", help="List the runs of agents, graphs and chains instead of calls.")


@options.filtered
def list_records(
    *,
    filters: Filters,
    follow_ups: Annotated[str | None, _FOLLOW_UPS] = None,
    trees: Annotated[bool, _TREES] = False,
    runs: options.Runs = False,
    limit: options.Limit = 20,
    oldest_first: options.OldestFirst = False,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """List records, newest first.

    A record must pass every filter. With --json: one record per line, as
    `plsync show --json` prints it. With --follow-ups: the scores, metadata,
    prompt links and groups of these records. With --trees: whole runs, whose
    root must pass the filters. With --runs: also the steps of these runs.

    Examples:
        plsync list --since 2h
        plsync list --tag langchain --result error
        plsync list --text "capital of France" --json
        plsync list --trees --result interrupted
    """
    if trees and follow_ups is not None:
        raise wrong_usage("--trees", "--trees and --follow-ups exclude each other")
    if runs and (trees or follow_ups is not None):
        raise wrong_usage("--runs", "--runs lists records: use it without --trees and --follow-ups")
    with Journal.open(journal) as opened:
        if trees:
            found = opened.trees(limit=None if limit is None else limit + 1, oldest_first=oldest_first, **filters)
            _list_trees(opened, found, limit, filters, json=json)
            return
        if follow_ups is not None:
            if oldest_first:
                raise wrong_usage("--oldest-first", "--follow-ups lists the newest record first")
            _list_follow_ups(opened, find_follow_ups(opened, follow_ups, filters), follow_ups, limit, json=json)
            return
        if runs:
            filters = {**filters, "runs": True}
        # One more record shows whether the list is cut.
        records = opened.records(limit=None if limit is None else limit + 1, oldest_first=oldest_first, **filters)
        first = next(records, None)
        if first is None:
            print_note(nothing_found(opened, filters))
            return
        page = chain([first], records)
        _print(opened, islice(page, limit), as_json=json)
        if next(page, None) is not None:
            print_note(_cut(opened, limit, filters, oldest_first=oldest_first))


def _print(journal: Journal, records: Iterator[Record], *, as_json: bool) -> None:
    if as_json:
        for record in records:
            print_json(record_json(record))
        return
    console = stdout_console()
    print_lines(console, Table.lines_of(records, console.width, journal.last_seq(), is_full=is_for_program(console)))


def _list_trees(journal: Journal, trees: Iterator[Run], limit: int | None, filters: Filters, *, json: bool) -> None:
    shown = dropping_content(islice(trees, limit))
    if json:
        for tree in shown:
            print_json(tree.as_dict())
    elif (first := next(shown, None)) is None:
        print_note(no_tree_found(journal, filters))
    else:
        console, page = stdout_console(), chain([first], shown)
        print_lines(console, tree_lines(page, console.width, journal.last_seq(), is_full=is_for_program(console)))
    if next(trees, None) is not None:
        print_note(f"{humanize.count(limit or 0, 'run')} shown; there are more: -n all shows all")


def _list_follow_ups(
    journal: Journal, followups: Iterator[FollowUp], word: str, limit: int | None, *, json: bool
) -> None:
    found = list(islice(followups, limit))
    if json:
        for followup in found:
            print_json(followup.as_dict())
    elif found:
        console = stdout_console()
        print_lines(console, follow_up_lines(found, console.width, journal.last_seq(), is_full=is_for_program(console)))
    else:
        print_note(f"no follow-up is {word}" if word != "sent" else "no sent follow-up is kept")
    if next(followups, None) is not None:
        print_note(f"{humanize.count(limit or 0, 'follow-up')} shown; there are more: -n all shows all")


def _cut(journal: Journal, shown: int | None, filters: Filters, *, oldest_first: bool) -> str:
    total = journal.count(at_most=_COUNTED, **filters)
    number = shown or 0
    of = f"{humanize.count(number, 'record')} shown; there are more"
    if total is not None:
        of = f"{number:,} of {humanize.count(total, 'record')} shown"
    further = "--since shows newer records" if oldest_first else "--until shows older records"
    return f"{of}: -n all shows all, {further}"
