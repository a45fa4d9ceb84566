"""``plsync salvage``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from plsync.cli import humanize, options
from plsync.cli.output import escaped, print_json, print_lines, stdout_console
from plsync.journal.reports import SalvageReport
from plsync.journal.salvage import salvage as salvage_journal

__all__ = ["salvage"]


def salvage(
    source: Annotated[
        Path, typer.Argument(metavar="SRC", readable=False, help="The directory of the damaged journal. Only read.")
    ],
    target: Annotated[
        Path, typer.Argument(metavar="DST", readable=False, help="The directory of the new journal. Must not exist.")
    ],
    json: options.Json = False,
) -> None:
    """Write the readable records of a damaged journal to a new one. Stop programs that write to it first.

    Records keep their ids, states and request ids. Lists the losses and exits with 1 if there are any.

    Examples:
        plsync salvage ~/journal ~/journal-saved
    """
    report = salvage_journal(source, target)
    if json:
        print_json({"journal": str(target), **report.as_dict()})
    else:
        print_lines(stdout_console(), _lines(report, target))
    if report.lost:
        raise typer.Exit(1)


def _lines(report: SalvageReport, target: Path) -> Iterator[Text]:
    for loss in report.losses:
        yield escaped(f"lost: {loss}", "red")
    saved = ", ".join(
        humanize.count(number, noun)
        for number, noun in (
            (report.records, "record"),
            (report.acks, "request id"),
            (report.callbacks, "callback"),
            (report.followups, "follow-up"),
            *([(report.followups_sent, "sent follow-up")] if report.followups_sent else []),
        )
    )
    lost = humanize.count(report.lost, "item") + " lost" if report.lost else "no known losses"
    yield escaped(f"{saved} saved in {target}: {lost}")
    if report.damaged:
        parts = humanize.count(report.damaged, "part")
        yield escaped(f"{parts} of the store could not be read. Data not listed as lost was recovered from elsewhere.")
    yield escaped(f"Next: `plsync check --journal {target}`, then move it to the place of the old journal.")
