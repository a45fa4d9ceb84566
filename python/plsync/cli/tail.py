"""``plsync tail``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from plsync._common.paths import default_journal
from plsync.cli import options
from plsync.cli.console import json_line, note, out
from plsync.cli.table import lines
from plsync.errors import JournalNotFound
from plsync.journal.journal import Journal
from plsync.journal.record import Record

__all__ = ["tail"]

# Seconds between two looks for a journal that is not there yet.
POLL = 0.2


def tail(
    *,
    follow: Annotated[
        bool, typer.Option("-f", "--follow", help="Keep on, as calls are made; a call comes again when it ends.")
    ] = False,
    tag: options.Tag = None,
    model: options.Model = None,
    state: options.State = None,
    status: options.Status = None,
    since: options.Since = None,
    until: options.Until = None,
    text: options.Text = None,
    limit: options.Limit = 10,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Show the newest records, the newest last; with -f, those that follow too, even if there is no journal yet.

    With --json: one record a line, as `plsync show --json` prints it.
    """
    filters = options.filters(tag=tag, model=model, state=state, status=status, since=since, until=until, text=text)
    console = out()

    def show(record: Record) -> None:
        if json:
            json_line(record.as_dict())
        else:
            console.print(*list(lines(opened, [record], console.width))[1:], soft_wrap=True)

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
                # What came in while the page was read is in both.
                if (record.id, record.status) not in shown:
                    show(record)
    except KeyboardInterrupt:
        return


def _wait_for(path: Path) -> Journal:
    """The journal there, once something has been recorded."""
    is_said = False
    while True:
        try:
            return Journal.open(path)
        except JournalNotFound:
            if not is_said:
                note(f"plsync: nothing was recorded at {path} yet; waiting for the first call")
                is_said = True
        time.sleep(POLL)
