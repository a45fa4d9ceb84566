"""``plsync run --exec``: a command for each request id, run without a shell."""

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
_LOOK_SECONDS: Final = 0.05
# What a command is given to end by itself: when it is told to, and when plsync is.
_GRACE_SECONDS: Final = 0.5


class Command:
    """A command line with places for what is known of an id."""

    def __init__(self, line: str, *, timeout: float = 60.0, stdout: int | None = None) -> None:
        """Split ``line`` as a POSIX shell would, without running one.

        Args:
            line: ``{request_id}``, ``{record_id}``, ``{run_id}``, ``{trace_id}``, ``{span_id}``, ``{acked_at}`` and
                ``{journal}`` are replaced in its arguments, each of which stays one argument whatever is put in.
            timeout: seconds it may take; it is stopped then, with what it has started, and counts as failed.
            stdout: a file descriptor for its output; None: that of this process.

        Raises:
            ValueError: it is empty, has an open quote or an unknown place, or there is no such program.
        """
        try:
            self.arguments = shlex.split(line)
        except ValueError as error:
            raise ValueError(f"{line!r} cannot be split into arguments: {error}") from None
        if not self.arguments:
            raise ValueError("an empty command")
        if unknown := {name for part in self.arguments for name in _PLACEHOLDER.findall(part)} - {*_NAMES}:
            known = ", ".join(f"{{{name}}}" for name in _NAMES)
            raise ValueError(f"{line!r} has no value for {{{min(unknown)}}}; there is {known}")
        if not _PLACEHOLDER.search(self.arguments[0]) and shutil.which(self.arguments[0]) is None:
            raise ValueError(f"there is no program {self.arguments[0]!r}")
        self.timeout = timeout
        self.stdout = stdout

    def call(self, journal: Path) -> CommandCall:
        """What runs it, for the ids of a journal."""
        return CommandCall(self, journal)

    def filled(self, values: Mapping[str, str]) -> list[str]:
        """The arguments with these values in their places."""
        return [_PLACEHOLDER.sub(lambda place: values[place[1]], argument) for argument in self.arguments]


class CommandCall:
    """Runs a command for each id, one at a time."""

    def __init__(self, command: Command, journal: Path) -> None:
        """``journal``: ``PLSYNC_JOURNAL`` of the command."""
        self._command = command
        self._journal = journal

    def __call__(self, record: Record, stopping: threading.Event) -> None:
        """Run it, and see to it that it ended well.

        Raises:
            Undelivered: it could not be run, took too long, or ended with another code than 0.
            Interrupted: ``stopping`` was set, and it did not end soon.
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
            process = subprocess.Popen(  # noqa: S603 - the user's own command; what is put in is never parsed
                self._command.filled(values),
                env={**os.environ, **{f"PLSYNC_{name.upper()}": value for name, value in values.items()}},
                stdin=subprocess.DEVNULL,
                stdout=self._command.stdout,
                # A group of its own: what it started is stopped with it, and Ctrl-C reaches plsync first.
                start_new_session=os.name == "posix",
            )
        except (OSError, ValueError) as error:
            raise Undelivered(f"could not be run: {error}") from error
        with process:
            _judge(process, self._command.timeout, stopping)

    def close(self) -> None:
        """Nothing to close."""


def _judge(process: subprocess.Popen[Any], timeout: float, stopping: threading.Event) -> None:
    deadline = time.monotonic() + timeout
    told = False
    while (code := _wait(process)) is None:
        if stopping.is_set() and not told:
            told = True
            deadline = min(deadline, time.monotonic() + _GRACE_SECONDS)
        if time.monotonic() >= deadline:
            _end(process)
            if told:
                raise Interrupted
            raise Undelivered(f"took more than {timeout:g} s, and was stopped")
    if code > 0:
        raise Undelivered(f"ended with exit code {code}")
    if code < 0:
        raise Undelivered(f"was ended by {signal.Signals(-code).name}")


def _wait(process: subprocess.Popen[Any]) -> int | None:
    try:
        return process.wait(_LOOK_SECONDS)
    except subprocess.TimeoutExpired:
        return None


def _end(process: subprocess.Popen[Any]) -> None:
    """Stop it and what it has started: first asked to, then without."""
    _signal(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(_GRACE_SECONDS)
    # Also when it has ended: what it started may go on.
    _signal(process, getattr(signal, "SIGKILL", signal.SIGTERM))
    process.wait()


def _signal(process: subprocess.Popen[Any], number: int) -> None:
    # Gone meanwhile, which is what is wanted.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, number)
