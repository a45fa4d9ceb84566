"""``plsync compact``."""

from __future__ import annotations

from plsync.cli import humanize, options
from plsync.cli.output import print_json, print_line
from plsync.journal.journal import Journal

__all__ = ["compact"]


def compact(json: options.Json = False, journal: options.Journal = None) -> None:
    """Return unused space to the file system. Programs can record meanwhile.

    Removes content beyond the quota first (`plsync quota`). Needs free space for a copy of the remaining data.

    Examples:
        plsync compact
    """
    with Journal.open(journal) as opened:
        opened.ingest(wait=True)
        report = opened.compact()
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
