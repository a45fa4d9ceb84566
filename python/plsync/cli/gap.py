"""``plsync gap``: an origin to which no file comes back."""

from __future__ import annotations

from typing import Annotated

import typer

from plsync.cli import humanize, options
from plsync.cli.command_line import Command, Group
from plsync.cli.output import escaped, labelled, print_json, print_lines, stdout_console
from plsync.cli.usage_errors import wrong_usage
from plsync.cli.workspaces import with_workspace
from plsync.journal.journal import Journal

__all__ = ["app"]

app = typer.Typer(cls=Group, no_args_is_help=True, help="Set how records cross an air gap.")

_MOST_EXPORTS = 127


def oneway(
    *,
    repeat: Annotated[
        int | None,
        typer.Option(
            "--repeat",
            parser=options.number(1, _MOST_EXPORTS),
            metavar="N",
            help="Write each record into N exports, at most 127. Then it rests.",
        ),
    ] = None,
    off: Annotated[
        bool, typer.Option("--off", help="Files come back: write each record until a hub confirms it.")
    ] = False,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Show or set how often each record goes out where no file comes back, as through a diode.

    `plsync bundle export` then writes each record, score and metadata into N exports.
    A record that rests stays carried, and never gets a request id.
    The quota may remove its content.

    Examples:
        plsync gap oneway
        plsync gap oneway --repeat 3
        plsync gap oneway --off
    """
    if off and repeat is not None:
        raise wrong_usage("--off", "it excludes --repeat")
    with Journal.open(journal) as opened:
        if off or repeat is not None:
            opened.bundles.set_repeat(repeat)
        found = opened.bundles.repeat()
        if json:
            print_json({"journal": str(opened.path), "repeat": found})
            return
        if found is None:
            words = "off: each record goes out until a hub confirms it"
        else:
            words = f"each record goes out in {humanize.count(found, 'export')}, and rests then"
        print_lines(stdout_console(), [labelled("one-way", escaped(words))])


app.command("oneway", cls=Command)(with_workspace(oneway))
