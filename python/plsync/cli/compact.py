"""``plsync compact``."""

from __future__ import annotations

from plsync.cli import humanize, options
from plsync.cli.console import json_line, out, safe
from plsync.journal.journal import Journal

__all__ = ["compact"]


def compact(json: options.Json = False, journal: options.Journal = None) -> None:
    """Give unused space back to the file system. Recording goes on meanwhile.

    What the quota does not allow (`plsync quota`) is removed first. Needs room for a copy of what is kept.
    """
    with Journal.open(journal) as opened:
        opened.ingest(wait=True)
        report = opened.compact()
        if json:
            json_line({"journal": str(opened.path), **report.as_dict()})
            return
        console = out()
        if report.pruned:
            console.print(safe(f"{humanize.count(report.pruned, 'sent record')} lost their content to the quota"))
        if report.dropped:
            gone = f"{humanize.count(report.dropped, 'record')} that were never sent lost their content to the quota"
            console.print(safe(gone, "red"))
        console.print(safe(f"{humanize.size(report.before)} before, {humanize.size(report.after)} now: {opened.path}"))
