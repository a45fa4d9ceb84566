"""``plsync callbacks``: the functions that wait for request ids."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from plsync.cli import completion, humanize, options
from plsync.cli.command_line import Command, Group
from plsync.cli.output import exit_with_error, print_json, print_line, print_note
from plsync.cli.status import failed_line, waiting_line
from plsync.cli.workspaces import with_workspace
from plsync.journal.journal import Journal

__all__ = ["app"]

app = typer.Typer(
    cls=Group,
    no_args_is_help=True,
    help="List the functions that wait for request ids, and remove ids that no function needs.",
)

_FUNCTION = typer.Argument(
    metavar="FUNCTION",
    autocompletion=completion.functions,
    help="The name of the function, as `plsync callbacks list` prints it.",
)


def list_callbacks(json: options.Json = False, journal: options.Journal = None) -> None:
    """List the functions that wait for request ids, or whose calls failed, and the way to call each.

    With --json: one object per function.

    Examples:
        plsync callbacks list
    """
    with Journal.open(journal) as opened:
        opened.last_seq()  # ingests, and warns on a full disk
        sinks = opened.callbacks.waiting()
    for sink in sinks:
        if json:
            print_json(asdict(sink))
            continue
        if sink.waiting:
            print_line(waiting_line(sink))
        if sink.dead:
            print_line(failed_line(sink), "red")
    if not sinks and not json:
        print_note("no function waits for a request id")


def drop(function: Annotated[str, _FUNCTION], *, json: options.Json = False, journal: options.Journal = None) -> None:
    """Remove the request ids that wait for a function. No program will deliver them.

    The records keep their request ids, and `plsync acks` lists them.

    Examples:
        plsync callbacks drop /srv/app.py:on_id
    """
    with Journal.open(journal) as opened:
        opened.ingest(wait=True)
        if function not in {sink.sink for sink in opened.callbacks.waiting()}:
            exit_with_error(f"no request id waits for {function}; `plsync callbacks list` lists the functions")
        dropped = opened.callbacks.drop(function)
    if json:
        print_json({"sink": function, "dropped": dropped})
    else:
        print_line(
            f"{humanize.count(dropped, 'request id')} for {function} removed; `plsync acks` lists all request ids"
        )


app.command("list", cls=Command)(with_workspace(list_callbacks))
app.command("drop", cls=Command)(with_workspace(drop))
