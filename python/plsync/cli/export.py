"""``plsync export``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from plsync.cli import completion, humanize, options
from plsync.cli.output import print_json, print_line, print_note
from plsync.journal.filters import Filters
from plsync.journal.journal import Journal
from plsync.journal.record import Record

__all__ = ["export"]


@options.filtered
def export(
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID",
            autocompletion=completion.ids,
            help="Only these records, in this order; ids as for `plsync show`.",
        ),
    ] = None,
    *,
    recording: Annotated[
        Path, typer.Option("--recording", metavar="FILE", readable=False, help="The recording to write, a .jsonl file.")
    ],
    append: Annotated[bool, typer.Option("--append", help="Add to an existing recording.")] = False,
    filters: Filters,
    everything: Annotated[
        bool, typer.Option("--all", help="All records of the journal; excludes filters, ids and -n.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option("-n", "--limit", metavar="N", parser=options.parse_limit, help="Only the newest N records."),
    ] = None,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Write records to a recording that tests can replay: a failure in the field becomes a test.

    Oldest calls first. Skips records without a complete request and answer.
    Exits with 1 if it wrote no call. With --json: the numbers of written and
    skipped records.

    Examples:
        plsync export --recording from-the-field.jsonl --tag langchain --since 2w
        plsync export 01a22867 --recording from-the-field.jsonl --append
    """
    # This module compares requests as replay does; other commands do not need it.
    from plsync.replay.exporter import export as export_records  # noqa: PLC0415

    if ids and (filters or limit is not None):
        raise typer.BadParameter("ids and filters exclude each other; pass one of them")
    if everything and (ids or filters or limit is not None):
        raise typer.BadParameter("--all excludes ids, filters and -n; leave out one of them")
    with Journal.open(journal) as opened:
        if ids:
            chosen: Iterable[Record] = map(opened.get, ids)
        elif limit is None:
            chosen = opened.records(oldest_first=True, **filters)
        else:
            chosen = reversed(list(opened.records(limit=limit, **filters)))
        report = export_records(chosen, recording, append=append)
    if json:
        print_json({"recording": str(report.recording), "calls": report.calls, "skipped": report.skipped})
    elif report.calls:
        written = f"{humanize.count(report.calls, 'call')} written to {report.recording}"
        print_line(f"{written}: replay it with plsync.replay.load() or with_recording()")
    else:
        print_note("no record with a complete answer matches; nothing was written: `plsync list` shows all records")
    if report.skipped:
        print_note(f"{humanize.count(report.skipped, 'record')} skipped: unfinished, cancelled, or without content")
    if not report.calls:
        raise typer.Exit(1)
