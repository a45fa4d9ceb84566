"""The ``plsync`` command, built on the public API of ``plsync``; one module per command.

Exit codes: 0 done, 1 an error (one line on stderr explains it), 2 wrong usage, 3 work is left (``run`` only). 4 is for
``status --check``: a limit is crossed.
Commands that only read import neither LangChain nor an HTTP client. ``docs/guide/cli.md`` lists the options and fields;
``tests/cli/test_help.py`` compares it with ``--help``.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Annotated, NoReturn

import typer

from plsync._common.paths import JOURNAL_VARIABLE
from plsync.cli import bundle, callbacks, gap, keys, options, output, prompts, streams, usage_errors
from plsync.cli.acks import acks
from plsync.cli.backup import backup
from plsync.cli.candidates import print_candidates
from plsync.cli.check import check
from plsync.cli.command_line import Command, CommandOfOne, Group
from plsync.cli.compact import compact
from plsync.cli.export import export
from plsync.cli.forget import forget
from plsync.cli.list import list_records
from plsync.cli.quota import quota
from plsync.cli.rerun import rerun
from plsync.cli.retry import retry
from plsync.cli.run import run
from plsync.cli.salvage import salvage
from plsync.cli.share import share
from plsync.cli.show import show
from plsync.cli.status import status
from plsync.cli.tail import tail
from plsync.cli.ui import ui
from plsync.cli.usage import usage
from plsync.cli.workspaces import set_named, with_workspace
from plsync.errors import AmbiguousId, PlsyncError

__all__ = ["app", "main"]


app = typer.Typer(
    name="plsync",
    cls=Group,
    no_args_is_help=True,
    add_completion=True,
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


app.command("run", cls=Command)(run)
app.command("status", cls=Command)(with_workspace(status))
app.command("list", cls=Command)(with_workspace(list_records))
app.command("show", cls=CommandOfOne)(with_workspace(show))
app.command("tail", cls=Command)(with_workspace(tail))
app.command("ui", cls=Command)(with_workspace(ui))
app.command("usage", cls=Command)(with_workspace(usage))
app.command("acks", cls=Command)(with_workspace(acks))
app.command("retry", cls=Command)(with_workspace(retry))
app.command("export", cls=Command)(with_workspace(export))
app.command("rerun", cls=Command)(with_workspace(rerun))
app.command("check", cls=Command)(with_workspace(check))
app.command("quota", cls=Command)(with_workspace(quota))
app.command("compact", cls=Command)(with_workspace(compact))
app.command("salvage", cls=Command)(salvage)
app.command("backup", cls=Command)(with_workspace(backup))
app.command("share", cls=Command)(with_workspace(share))
app.command("forget", cls=Command)(with_workspace(forget))
app.add_typer(callbacks.app, name="callbacks")
app.add_typer(prompts.app, name="prompts")
app.add_typer(keys.app, name="keys")
app.add_typer(bundle.app, name="bundle")
app.add_typer(gap.app, name="gap")


def main() -> None:
    """Run the command line and exit."""
    streams.prepare_streams()
    output.print_warnings()
    threading.excepthook = lambda failed: output.print_traceback(failed.exc_value or failed.exc_type())
    try:
        _run()
    finally:
        streams.discard_unwritten()


def _run() -> NoReturn:
    try:
        # As a program name sys.argv[0] would depend on the way that plsync was started.
        code = app(prog_name="plsync", standalone_mode=False) or 0
        sys.stdout.flush()
        sys.exit(code)
    except usage_errors.USAGE_ERROR as error:
        # Help has an empty error, after it was printed.
        if text := usage_errors.message(error):
            output.print_note(text)
        sys.exit(2)
    except AmbiguousId as error:
        print_candidates(error)
    except PlsyncError as error:
        output.exit_with_error(str(error))
    except typer.Abort:
        output.exit_with_error("there was no answer to the question; nothing was changed")
    except KeyboardInterrupt:
        # Ctrl-C before the command began. typer ends a command in the same way.
        sys.exit(130)
    except BrokenPipeError:
        streams.exit_on_broken_pipe()
    except OSError as error:
        path = f": {error.filename}" if error.filename else ""
        output.exit_with_error(
            f"{error.strerror or error}{path}; every recorded event is kept: remove the cause and run the command again"
        )
    except MemoryError:
        output.exit_with_error(
            "the process has no memory left; every recorded event is kept: run the command again with more memory "
            "(`ulimit -v`, the limit of the container)"
        )
    except Exception as error:
        output.print_traceback(error)
    sys.exit(1)
