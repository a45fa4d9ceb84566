"""``plsync export --recording``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import typer

from plsync.cli import humanize
from plsync.cli.output import print_json, print_line, print_note
from plsync.cli.signals import stoppable
from plsync.journal.filters import Filters
from plsync.journal.journal import Journal
from plsync.journal.record import Record

__all__ = ["export"]


def export(
    recording: Path,
    ids: list[str] | None,
    filters: Filters,
    limit: int | None,
    *,
    append: bool,
    json: bool,
    journal: Path | None,
) -> None:
    """Write the chosen records to a recording, and print the report."""
    with stoppable("nothing was written"):
        # This module compares requests as replay does; other commands do not need it.
        from plsync.replay.exporter import export as export_records  # noqa: PLC0415

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
