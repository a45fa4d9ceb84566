"""``plsync tail``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from plsync._common.paths import default_journal
from plsync.cli import options
from plsync.cli.output import print_json, print_lines, print_note, stdout_console
from plsync.cli.record_table import table_lines
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
    limit: options.Limit = 10,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """List the newest records, the newest last. With -f also new records; waits for a missing journal.

    With --json: one record per line, as `plsync show --json` prints it.

    Examples:
        plsync tail -f
        plsync tail -f --tag langchain --json
    """
    console = stdout_console()

    def show(record: Record) -> None:
        if json:
            print_json(record.as_dict())
        else:
            print_lines(console, list(table_lines(opened, [record], console.width))[1:])

    try:
        with _wait_for(journal or default_journal()) if follow else Journal.open(journal) as opened:
            newest = opened.last_seq()
            page = list(opened.records(limit=limit, **filters))[::-1]
            for record in page:
                show(record)
            if not follow:
                return
            shown = {(record.id, record.status) for record in page}
            for record in opened.follow(after=newest, watch=page, **filters):
                # A record that arrived while the page was read is in both.
                if (record.id, record.status) not in shown:
                    show(record)
    except KeyboardInterrupt:
        return


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
