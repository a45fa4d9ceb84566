"""Runs every command on one journal in a forked process, and reports a death, a hang or a traceback."""

from __future__ import annotations

import contextlib
import io
import os
import resource
import signal
import sys
import traceback
import warnings
from collections.abc import Iterable
from pathlib import Path
from unittest.mock import patch

from tests.support.commands import plsync_for_forks

__all__ = ["EVERY", "FEW", "faults"]

SECONDS = 60
"""Processor time of all commands together. Each takes some 30 ms, on a busy machine as well."""
PATIENCE = 600
"""The longest time until a process that waits counts as one without an end."""
MEMORY = 2 << 30

EVERY = (
    ("check",),
    ("status",),
    ("list",),
    ("list", "--json"),
    ("list", "--text", "question", "--tag", "a"),
    ("list", "--state", "dead"),
    ("list", "--status", "error", "--oldest-first"),
    ("show", "{id}"),
    ("show", "{id}", "--json"),
    ("show", "0"),
    ("tail",),
    ("tail", "--json"),
    ("acks",),
    ("acks", "--json"),
    ("export", "--recording", "{out}"),
    ("quota",),
    ("retry",),
    ("retry", "--follow-ups"),
    ("retry", "--callbacks"),
    ("run", "--once", "--no-callbacks"),
    ("compact",),
    ("check", "--json"),
    ("list",),
)
"""Commands that look at a journal, and then commands that write to it."""
FEW = (
    ("list",),
    ("show", "{id}"),
    ("check",),
    ("status",),
    ("acks", "--json"),
    ("export", "--recording", "{out}"),
    ("run", "--once", "--no-callbacks"),
)


def faults(commands: Iterable[tuple[str, ...]], journal: Path, record_id: str) -> list[str]:
    """Run the commands one after another. Returns each death, hang and traceback."""
    plsync = plsync_for_forks()
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(PATIENCE)
            resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
            # pytest makes errors of warnings.
            warnings.simplefilter("default")
            # typer makes the objects of all commands in each call.
            with patch("typer.main.get_command", lambda _: plsync):
                for command in commands:
                    arguments = [part.format(id=record_id, out=journal.parent / "out.jsonl") for part in command]
                    os.write(write, f"\n{' '.join(arguments)}: ".encode())
                    os.write(write, _run(arguments, journal).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read, encoding="utf-8", errors="replace") as pipe:
        lines = pipe.read().splitlines()
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if code < 0:
        name = "no end" if -code in {signal.SIGALRM, signal.SIGXCPU} else signal.Signals(-code).name
        return [f"{lines[-1] if lines else 'start'} {name}"]
    return [line for line in lines if line and not line.endswith(": fine")]


def _run(arguments: list[str], journal: Path) -> str:
    """Run one command in this process: "fine", or a fault in one line."""
    from plsync.cli import main  # noqa: PLC0415 - it registers every command

    os.environ.update(
        PLSYNC_JOURNAL=str(journal), PROMPTLAYER_API_KEY="pl_x", PROMPTLAYER_BASE_URL="http://127.0.0.1:9"
    )
    sys.argv = ["plsync", *arguments]
    printed, logged = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(logged):
            main()
    except SystemExit as done:
        logged.flush()
        errors = logged.buffer.getvalue()
        if done.code in {0, 1, 2, 3, None} and b"Traceback" not in errors and b"panicked" not in errors:
            return "fine"
        return f"exit code {done.code}: {errors[-600:]!r}"
    except BaseException:
        return repr(traceback.format_exc()[-600:])
    return "fine"
