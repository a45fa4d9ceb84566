"""``plsync compact``."""

from __future__ import annotations

from dataclasses import replace

from plsync.cli import humanize, options
from plsync.cli.output import print_json, print_line
from plsync.errors import JournalError
from plsync.journal.disk import is_full_disk
from plsync.journal.journal import Journal
from plsync.journal.reports import IngestReport

__all__ = ["compact"]


def compact(json: options.Json = False, journal: options.Journal = None) -> None:
    """Return unused space to the file system. Programs can record meanwhile.

    Removes content beyond the quota first (`plsync quota`).
    Without disk space for a copy of the rest, it returns the free space inside the file.

    Examples:
        plsync compact
    """
    with Journal.open(journal) as opened:
        # On a full disk the events of the spool fit only after the compaction.
        ingested = _ingest(opened)
        report = opened.compact()
        if ingested is None:
            ingested = opened.ingest(wait=True)
        report = replace(report, pruned=report.pruned + ingested.pruned, dropped=report.dropped + ingested.dropped)
        if json:
            print_json({"journal": str(opened.path), **report.as_dict()})
            return
        if report.pruned:
            print_line(f"The quota removed the content of {humanize.count(report.pruned, 'sent record')}.")
        if report.dropped:
            removed = humanize.count(report.dropped, "unsent record")
            print_line(f"The quota removed the content of {removed}; PromptLayer will not get it.", "red")
        sizes = f"{humanize.size(report.before)} before, {humanize.size(report.after)} now"
        print_line(f"{sizes}: {opened.path}")
        if report.in_place:
            print_line("The disk has no room for a copy, so the file keeps its length and returns its free space.")


def _ingest(journal: Journal) -> IngestReport | None:
    """Ingest the events of the spool. None on a full disk."""
    try:
        return journal.ingest(wait=True)
    except JournalError as error:
        if not is_full_disk(error):
            raise
        return None
