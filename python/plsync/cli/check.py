"""``plsync check``."""

from __future__ import annotations

import typer

from plsync.cli import humanize, options
from plsync.cli.console import json_line, out, safe
from plsync.journal.journal import Journal

__all__ = ["check"]


def check(json: options.Json = False, journal: options.Journal = None) -> None:
    """Verify every frame and every record against its checksum. Changes nothing.

    Exits with 1 when something is wrong, after saying what and where.
    """
    with Journal.open(journal) as opened:
        report = opened.check()
        if json:
            json_line({"journal": str(opened.path), "ok": not report.problems, **report.as_dict()})
        else:
            console = out()
            for problem in report.problems:
                console.print(safe(f"{problem.where}: {problem.what}", "red"))
                console.print(safe(f"  kept: {problem.kept}"))
            read = ", ".join(
                humanize.count(number, noun)
                for number, noun in ((report.records, "record"), (report.events, "event"), (report.frames, "frame"))
            )
            verdict = humanize.count(len(report.problems), "problem") if report.problems else "everything is as written"
            console.print(safe(f"{read} read in {opened.path}: {verdict}"))
            if report.problems:
                console.print(
                    "What is not listed is sound and can be read and sent. Copy the directory before anything else."
                )
        if report.problems:
            raise typer.Exit(1)
