"""``plsync tail``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated

import typer

from plsync._common.paths import default_journal
from plsync.cli import options
from plsync.cli.nothing_found import nothing_found
from plsync.cli.output import is_for_program, print_json, print_lines, print_note, stdout_console
from plsync.cli.record_json import record_json
from plsync.cli.record_table import tail_table
from plsync.errors import JournalNotFound
from plsync.journal.filters import Filters
from plsync.journal.journal import Journal
from plsync.journal.record import Record

__all__ = ["tail"]

# Seconds between two checks for a journal that does not exist yet.
POLL = 0.2


@options.filtered
def tail(
    *,
    follow: Annotated[
        bool,
        typer.Option("-f", "--follow", help="Print new calls until interrupted; running calls again at their end."),
    ] = False,
    filters: Filters,
    limit: Annotated[
        int | None,
        typer.Option(
            "-n", "--limit", metavar="N", parser=options.parse_count, help="Show at most N records first, or all."
        ),
    ] = 10,
    runs: options.Runs = False,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """List the newest records, the newest last. With -f also new records; waits for a missing journal.

    With --json: one record per line, as `plsync show --json` prints it. With
    --runs: also the chains, tools and retrievers of agents.

    Examples:
        plsync tail -f
        plsync tail -f --tag langchain --json
    """
    if runs:
        filters = {**filters, "runs": True}
    try:
        with _wait_for(journal or default_journal()) if follow else Journal.open(journal) as opened:
            _tail(opened, limit, filters, follow=follow, as_json=json)
    except KeyboardInterrupt:
        return


def _tail(journal: Journal, limit: int | None, filters: Filters, *, follow: bool, as_json: bool) -> None:
    newest = journal.last_seq()
    show = _json_line if as_json else _table(newest)
    running: list[Record] = []
    shown = set()
    any_found = False
    for record in _first(journal, limit, filters):
        any_found = True
        show(record)
        if record.status == "pending":
            running.append(record)
        if record.seq > newest:
            shown.add((record.id, record.status))
    if not any_found and limit != 0 and not as_json:
        note = nothing_found(journal, filters)
        print_note(f"{note}; waiting for new calls" if follow else note)
    if follow:
        for record in journal.follow(after=newest, watch=running, **filters):
            # A record that arrived while the first records were read is in both.
            if (record.id, record.status) not in shown:
                show(record)


def _first(journal: Journal, limit: int | None, filters: Filters) -> Iterable[Record]:
    if limit is None:
        return journal.records(oldest_first=True, **filters)
    return reversed(list(journal.records(limit=limit, **filters)))


def _table(records: int) -> Callable[[Record], None]:
    """A function that prints the line of a record. A terminal gets a heading first."""
    console = stdout_console()
    table = tail_table(console.width, records, is_full=is_for_program(console))
    if console.is_terminal:
        print_lines(console, [table.heading()])
    return lambda record: print_lines(console, [table.line(record)])


def _json_line(record: Record) -> None:
    print_json(record_json(record))


def _wait_for(path: Path) -> Journal:
    """Open the journal as soon as it exists."""
    is_announced = False
    while True:
        try:
            return Journal.open(path)
        except JournalNotFound:
            if not is_announced:
                print_note(f"plsync: there is no journal at {path} yet; waiting for the first call")
                is_announced = True
        time.sleep(POLL)
