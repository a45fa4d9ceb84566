"""``plsync salvage``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from plsync.cli import humanize, options
from plsync.cli.console import json_line, out, safe
from plsync.journal.salvage import salvage as salvage_journal

__all__ = ["salvage"]


def salvage(
    source: Annotated[
        Path, typer.Argument(metavar="SRC", readable=False, help="The damaged journal's directory. Only read.")
    ],
    target: Annotated[
        Path, typer.Argument(metavar="DST", readable=False, help="A directory to make, for what can be saved.")
    ],
    json: options.Json = False,
) -> None:
    """Write what can be read of a damaged journal into a new one. Stop the programs that write to it first.

    Records keep their ids, states and request ids. Exits with 1 when something is lost, after saying what.
    """
    report = salvage_journal(source, target)
    if json:
        json_line({"journal": str(target), **report.as_dict()})
    else:
        console = out()
        for loss in report.losses:
            console.print(safe(f"lost: {loss}", "red"), soft_wrap=True)
        saved = ((report.records, "record"), (report.acks, "request id"), (report.callbacks, "callback"))
        kept = ", ".join(humanize.count(number, noun) for number, noun in (*saved, (report.followups, "follow-up")))
        lost = humanize.count(report.lost, "thing") + " lost" if report.lost else "nothing known to be lost"
        console.print(safe(f"{kept} saved in {target}: {lost}"), soft_wrap=True)
        if report.damaged:
            parts = humanize.count(report.damaged, "part")
            console.print(
                safe(f"{parts} of the store could not be read; what is not listed as lost was found elsewhere")
            )
        advice = f"Next: `plsync check --journal {target}`, then put it in the place of the old one."
        console.print(safe(advice), soft_wrap=True)
    if report.lost:
        raise typer.Exit(1)
