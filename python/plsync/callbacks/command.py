"""``plsync run --exec``: runs a command for each request id, without a shell."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from plsync.callbacks.invoke import Interrupted, Undelivered, request_id

if TYPE_CHECKING:
    from plsync.journal.record import Record

__all__ = ["Command", "CommandCall"]

_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")
_NAMES: Final = ("request_id", "record_id", "run_id", "trace_id", "span_id", "acked_at", "journal")
_KNOWN: Final = ", ".join(f"{{{name}}}" for name in _NAMES)
# A name beside a brace, in its frequent misspellings.
_NEARLY: Final = re.compile(
    r"\{?\s*\b(?:" + "|".join(name.replace("_", "[-_ ]?") for name in _NAMES) + r")\b\s*\}?", re.IGNORECASE
)
_POLL_SECONDS: Final = 0.05
# The time for a command to end after SIGTERM, and after the stop of plsync.
_GRACE_SECONDS: Final = 0.5


class Command:
    """A command line with placeholders for a request id and its record.

    Args:
        line: it is split into arguments as a POSIX shell would, without running one. ``{request_id}``, ``{record_id}``,
            ``{run_id}``, ``{trace_id}``, ``{span_id}``, ``{acked_at}`` and ``{journal}`` are replaced. An argument
            stays one argument, even if a value has spaces.
        timeout: the longest run, in seconds. A longer run is killed with its child processes, and has failed.
        stdout: a file descriptor for its output; None: the output of this process.

    Raises:
        ValueError: the line is empty, has an open quote or an unknown or open placeholder, or names no program.
    """

    def __init__(self, line: str, *, timeout: float = 60.0, stdout: int | None = None) -> None:
        try:
            self.arguments = shlex.split(line)
        except ValueError as error:
            raise ValueError(f"the line cannot be split into arguments: {error}") from None
        if not self.arguments:
            raise ValueError("an empty command")
        if unknown := {name for part in self.arguments for name in _PLACEHOLDER.findall(part)} - {*_NAMES}:
            raise ValueError(f"there is no value for {{{min(unknown)}}}; choose from {_KNOWN}")
        for found in (found for part in self.arguments for found in _NEARLY.findall(part)):
            if ("{" in found or "}" in found) and not _PLACEHOLDER.search(found):
                raise ValueError(f"{found.strip()} is no placeholder, and would not be replaced; choose from {_KNOWN}")
        if not _PLACEHOLDER.search(self.arguments[0]) and shutil.which(self.arguments[0]) is None:
            raise ValueError(f"there is no program {self.arguments[0]!r}")
        self.timeout = timeout
        self.stdout = stdout

    def call(self, journal: Path) -> CommandCall:
        """A callable that runs the command for the request ids of a journal."""
        return CommandCall(self, journal)

    def filled(self, values: Mapping[str, str]) -> list[str]:
        """The arguments with each placeholder replaced by its value."""
        return [_PLACEHOLDER.sub(lambda place: values[place[1]], argument) for argument in self.arguments]


class CommandCall:
    """Runs a command for each request id, one at a time.

    Args:
        command: the command.
        journal: the value of ``PLSYNC_JOURNAL`` for the command.
    """

    def __init__(self, command: Command, journal: Path) -> None:
        self._command = command
        self._journal = journal

    def __call__(self, record: Record, stopping: threading.Event) -> None:
        """Run the command for a record, and wait for its end.

        Raises:
            Undelivered: it could not start, took too long, or ended with another exit code than 0.
            Interrupted: ``stopping`` was set, and the command did not end soon.
        """
        values = {
            "request_id": str(request_id(record)),
            "record_id": record.id,
            "run_id": record.run_id or "",
            "trace_id": record.trace_id,
            "span_id": record.span_id,
            "acked_at": record.acked_at.isoformat() if record.acked_at else "",
            "journal": str(self._journal),
        }
        try:
            process = subprocess.Popen(  # noqa: S603 - the user's own command; the values are never parsed
                self._command.filled(values),
                env={**os.environ, **{f"PLSYNC_{name.upper()}": value for name, value in values.items()}},
                stdin=subprocess.DEVNULL,
                stdout=self._command.stdout,
                # A process group for the command: plsync kills its child processes with it, and alone gets Ctrl-C.
                start_new_session=os.name == "posix",
            )
        except (OSError, ValueError) as error:
            raise Undelivered(f"could not be run: {error}") from error
        with process:
            _wait_for_success(process, self._command.timeout, stopping)

    def close(self) -> None:
        """Do nothing: each call has ended its process."""


def _wait_for_success(process: subprocess.Popen[Any], timeout: float, stopping: threading.Event) -> None:
    deadline = time.monotonic() + timeout
    stop_noticed = False
    while (code := _poll(process)) is None:
        if stopping.is_set() and not stop_noticed:
            stop_noticed = True
            deadline = min(deadline, time.monotonic() + _GRACE_SECONDS)
        if time.monotonic() >= deadline:
            _kill(process)
            if stop_noticed:
                raise Interrupted
            raise Undelivered(f"took more than {timeout:g} s, and was stopped")
    if code > 0:
        raise Undelivered(f"ended with exit code {code}")
    if code < 0:
        raise Undelivered(f"was ended by {signal.Signals(-code).name}")


def _poll(process: subprocess.Popen[Any]) -> int | None:
    try:
        return process.wait(_POLL_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _kill(process: subprocess.Popen[Any]) -> None:
    """End a command and its child processes: by SIGTERM, then by SIGKILL."""
    _signal(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_SECONDS)
    # Its child processes may run on after its own end.
    _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait()


def _signal(process: subprocess.Popen[Any], number: int) -> None:
    # The process may have ended meanwhile.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, number)
