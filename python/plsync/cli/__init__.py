"""The ``plsync`` command: one module a command, on the public API of ``plsync``.

Exit codes: 0 all done, 1 an error (one line on stderr says what to do), 2 wrong usage, 3 work left (``run`` only).
Looking imports neither LangChain nor an HTTP client.
"""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from plsync._common.paths import JOURNAL_VARIABLE
from plsync.cli import console, options, prompts
from plsync.cli.acks import acks
from plsync.cli.check import check
from plsync.cli.compact import compact
from plsync.cli.export import export
from plsync.cli.list import list_records
from plsync.cli.quota import quota
from plsync.cli.retry import retry
from plsync.cli.run import run
from plsync.cli.salvage import salvage
from plsync.cli.show import show
from plsync.cli.status import status
from plsync.cli.tail import tail
from plsync.errors import PlsyncError

__all__ = ["app", "main"]

app = typer.Typer(
    name="plsync",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def plsync(
    journal: options.Journal = None,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=console.version, is_eager=True)
    ] = False,
) -> None:
    """A flight recorder for LLM calls: look at what was recorded, and send it to PromptLayer."""
    if journal is not None:
        # Before the command's name the option means what the variable means.
        os.environ[JOURNAL_VARIABLE] = str(journal)


app.command("run")(run)
app.command("status")(status)
app.command("list")(list_records)
app.command("show")(show)
app.command("tail")(tail)
app.command("acks")(acks)
app.command("retry")(retry)
app.command("export")(export)
app.command("check")(check)
app.command("quota")(quota)
app.command("compact")(compact)
app.command("salvage")(salvage)
app.add_typer(prompts.app, name="prompts")


def main() -> None:
    """Run the command line and exit."""
    console.prepare()
    console.show_warnings()
    try:
        app()
    except PlsyncError as error:
        console.fail(str(error))
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        console.fail(f"{error.strerror or error}{where}; what was recorded is kept: mend this and run it again")
    sys.exit(1)
