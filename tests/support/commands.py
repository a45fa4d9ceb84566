"""Runs ``plsync`` as a user would."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from tests.support import programs

PLSYNC = programs.PLSYNC


def environment(journal: Path, **variables: str) -> dict[str, str]:
    """A wide, plain terminal in UTC, and nothing of the caller's."""
    # tests/compat.sh sets the last two.
    names = ("PATH", "HOME", "SYSTEMROOT", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "PYTHONPATH", "PYTHONWARNINGS")
    kept = {name: os.environ[name] for name in names if name in os.environ}
    return {"PYTHONWARNINGS": "error", **kept, "PLSYNC_JOURNAL": str(journal), "TZ": "UTC", **variables}


def run(journal: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """``plsync`` with these arguments; never raises for its exit code."""
    command = [str(PLSYNC), *arguments]
    env = environment(journal, **variables)
    return programs.run(command, env=env, capture_output=True, encoding="utf-8", timeout=60)


def printed(journal: Path, *arguments: str, **variables: str) -> str:
    """The standard output of a command that exits with 0 and without a traceback."""
    done = run(journal, *arguments, **variables)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


def json_lines(journal: Path, *arguments: str) -> list[dict[str, Any]]:
    """The objects that a command prints with ``--json``."""
    return [json.loads(line) for line in printed(journal, *arguments, "--json").splitlines()]


@cache
def command_of_plsync() -> Any:
    """``plsync`` in typer."""
    # The oldest typer warns about the newest click, and few tests need the commands.
    from typer.main import get_command  # noqa: PLC0415

    from plsync.cli import app  # noqa: PLC0415

    return get_command(app)


# The modules that `plsync run` and errors of usage import.
_IMPORTED_LATER = (
    "typer.rich_utils",
    "plsync.cli.run_workspaces",
    "plsync.delivery.runner",
    "plsync.promptlayer.client",
)


def plsync_for_forks() -> Any:
    """``plsync`` in typer, for forks of this process. They import nothing more."""
    for name in _IMPORTED_LATER:
        importlib.import_module(name)
    return command_of_plsync()


def all_commands() -> dict[str, Any]:
    """The commands of ``plsync`` in typer, by their names; a subcommand has both names."""
    found: dict[str, Any] = {}
    for name, command in command_of_plsync().commands.items():
        inner = getattr(command, "commands", None)
        found |= {f"{name} {key}": value for key, value in inner.items()} if inner else {name: command}
    return found


# Plugins of other packages, of which pytest spends ten times as long loading as running a test.
PYTEST_QUICKLY = " ".join(
    f"-p no:{name}"
    for name in ("langsmith_plugin", "syrupy", "codspeed", "benchmark", "recording", "socket", "hypothesispytest")
)
