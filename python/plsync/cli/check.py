"""``plsync check``."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

import typer
from rich.text import Text

from plsync.cli import humanize, options
from plsync.cli.output import escaped, print_json, print_lines, stdout_console
from plsync.journal.journal import Journal
from plsync.journal.reports import CheckReport

__all__ = ["check"]

_RECORD: Final = re.compile(r"(?<![\w/-])[0-9a-f]{32}(?![\w.-])")


def check(json: options.Json = False, journal: options.Journal = None) -> None:
    """Verify every frame and every record against its checksum. Changes nothing.

    Lists the damaged parts and exits with 1 if there are any.

    Examples:
        plsync check
        plsync check --json
    """
    with Journal.open(journal, verify=True) as opened:
        report = opened.check()
        if json:
            print_json({"journal": str(opened.path), "ok": not report.problems, **report.as_dict()})
        else:
            print_lines(stdout_console(), _lines(report, str(opened.path)))
        if report.problems:
            raise typer.Exit(1)


def _lines(report: CheckReport, path: str) -> list[Text]:
    lines = []
    for problem in report.problems:
        found = with_dashes(f"{problem.where}: {problem.what}")
        lines += [escaped(found, "red"), escaped(f"  kept: {problem.kept}")]
    read = ", ".join(
        humanize.count(number, noun)
        for number, noun in ((report.records, "record"), (report.events, "event"), (report.frames, "frame"))
    )
    lines += [escaped(f"note: {with_dashes(note)}") for note in report.notes]
    verdict = humanize.count(len(report.problems), "problem") if report.problems else "no damage"
    lines.append(escaped(f"{read} read in {path}: {verdict}"))
    if report.problems:
        lines.append(Text("All other parts are intact and can be read and sent."))
        lines.append(Text("Next: copy the directory. `plsync salvage` writes the readable records to a new journal."))
    return lines


def with_dashes(text: str) -> str:
    """The text with the ids of records as other commands print them. The name of a segment is no id of a record."""
    return _RECORD.sub(lambda found: str(UUID(found[0])), text)
