"""The ``plsync`` command, built on the public API of ``plsync``; one module per command.

Exit codes: 0 done, 1 an error (one line on stderr explains it), 2 wrong usage, 3 work is left (``run`` only).
Commands that only read import neither LangChain nor an HTTP client. ``docs/guide/cli.md`` lists the options and fields;
``tests/cli/test_help.py`` compares it with ``--help``.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from plsync._common.paths import JOURNAL_VARIABLE
from plsync._terminal import visible_line
from plsync.cli import options, output, prompts
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
from plsync.cli.workspaces import set_named, with_workspace
from plsync.errors import PlsyncError

__all__ = ["app", "main"]


class _Commands(TyperGroup):
    """The commands. The message of a usage error quotes an argument, which a script may take from elsewhere."""

    def make_context(self, *arguments: Any, **more: Any) -> Any:
        with _visible_message():
            return super().make_context(*arguments, **more)

    def invoke(self, *arguments: Any, **more: Any) -> Any:
        with _visible_message():
            return super().invoke(*arguments, **more)


@contextlib.contextmanager
def _visible_message() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # The base class of usage errors belongs to click or to typer, which depends on the version of typer.
        for name in ("message", "option_name"):
            if isinstance(text := getattr(error, name, None), str):
                setattr(error, name, visible_line(text))
        raise


app = typer.Typer(
    name="plsync",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


_VERSION = typer.Option("--version", help="Print the version and exit.", callback=output.print_version, is_eager=True)


@app.callback()
def plsync(
    journal: options.Journal = None,
    workspace: options.Workspace = None,
    _version: Annotated[bool, _VERSION] = False,
) -> None:
    """A flight recorder for LLM calls: read the journal, and send its records to PromptLayer."""
    if journal is not None:
        # Before the command's name, the option sets the variable for every command.
        os.environ[JOURNAL_VARIABLE] = str(journal)
    set_named(journal, workspace)


app.command("run")(run)
app.command("status")(with_workspace(status))
app.command("list")(with_workspace(list_records))
app.command("show")(with_workspace(show))
app.command("tail")(with_workspace(tail))
app.command("acks")(with_workspace(acks))
app.command("retry")(with_workspace(retry))
app.command("export")(with_workspace(export))
app.command("check")(with_workspace(check))
app.command("quota")(with_workspace(quota))
app.command("compact")(with_workspace(compact))
app.command("salvage")(salvage)
app.add_typer(prompts.app, name="prompts")


def main() -> None:
    """Run the command line and exit."""
    output.prepare_streams()
    output.print_warnings()
    threading.excepthook = lambda failed: output.print_traceback(failed.exc_value or failed.exc_type())
    try:
        app()
    except PlsyncError as error:
        output.exit_with_error(str(error))
    except OSError as error:
        path = f": {error.filename}" if error.filename else ""
        output.exit_with_error(
            f"{error.strerror or error}{path}; every recorded event is kept: remove the cause and run the command again"
        )
    except Exception as error:
        output.print_traceback(error)
    sys.exit(1)
