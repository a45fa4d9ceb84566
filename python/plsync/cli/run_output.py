"""Where the lines of ``plsync run`` go: a terminal, a log, or a program that reads JSON."""

from __future__ import annotations

import re
import sys
import time
from datetime import datetime, timezone
from typing import Any, Final, Protocol, TextIO

from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from plsync.cli import humanize
from plsync.cli.output import escaped, print_json, print_line, stdout_console

__all__ = ["Output", "choose_output"]

# The least seconds between two progress lines.
_PROGRESS_INTERVAL: Final = 10.0
# A command in a line that concerns one journal.
_COMMAND: Final = re.compile(r"`plsync (?:list|status|show|forget|retry|check|compact)\b")


class Output(Protocol):
    """The output of a run."""

    def report(self, line: str, **fields: Any) -> None:
        """Print an event: ``line`` for people, ``fields`` for programs."""

    def progress(self, done: int, total: int) -> None:
        """Show the progress of a pass, in records."""

    def show(self, state: str) -> None:
        """Show the present state where a line can be redrawn."""

    def pause(self) -> None:
        """Remove the progress and the state until they are shown again."""


def choose_output(*, json: bool, once: bool, workspace: str | None, option: str, stdout: TextIO) -> Output:
    """The output for the kind of standard output: JSON, a terminal, or a log.

    Args:
        json: print JSON.
        once: the run ends soon, so that lines on a terminal need no time.
        workspace: the workspace to name in each event, in a run of several.
        option: chooses the journal of this workspace, for the commands in the lines.
        stdout: the stream for JSON.
    """
    is_terminal = sys.stdout.isatty()
    if json:
        output: Output = _JsonOutput(stdout)
    elif is_terminal and workspace is None:
        output = _TerminalOutput(has_times=not once)
    else:
        # Several workspaces cannot redraw one line.
        output = _LogOutput("%H:%M:%S " if is_terminal else None)
    return output if workspace is None else _NamedOutput(output, workspace, option)


class _NamedOutput:
    """Adds the name of a workspace to each event of another output, and its journal to the commands in lines."""

    def __init__(self, output: Output, name: str, option: str) -> None:
        self._inner = output
        self._name = name
        self._option = option

    def report(self, line: str, **fields: Any) -> None:
        if self._option:
            line = _COMMAND.sub(lambda found: f"{found[0]} {self._option}", line)
        self._inner.report(
            f"{self._name}: {line}" if line else "", **fields, **({"workspace": self._name} if fields else {})
        )

    def progress(self, done: int, total: int) -> None:
        self._inner.progress(done, total)

    def show(self, state: str) -> None:
        self._inner.show(state)

    def pause(self) -> None:
        self._inner.pause()


class _JsonOutput:
    """JSON, one object per line."""

    def __init__(self, stdout: TextIO) -> None:
        self._rate = _ProgressRate()
        self._stdout = stdout

    def report(self, line: str, **fields: Any) -> None:
        if fields:
            at = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
            print_json({"event": fields.pop("event", "note"), "at": at, **fields}, self._stdout)

    def progress(self, done: int, total: int) -> None:
        if rate := self._rate.due(done):
            self.report("", event="progress", done=done, total=total, per_second=round(rate, 1))

    def show(self, state: str) -> None:
        """JSON has no line that is redrawn."""

    def pause(self) -> None:
        self._rate = _ProgressRate()


class _LogOutput:
    """Lines with their time. A progress line every ten seconds.

    Args:
        form: the form of the time, for strftime; None for date, time and zone in a form that sorts by time.
    """

    def __init__(self, form: str | None) -> None:
        self._rate = _ProgressRate()
        self._form = form

    def report(self, line: str, **fields: Any) -> None:
        if line:
            now = datetime.now().astimezone()
            at = f"{now.isoformat(timespec='seconds')} " if self._form is None else f"{now:{self._form}}"
            print_line(f"{at}{line}")

    def progress(self, done: int, total: int) -> None:
        # The sums follow at once after the last record.
        if done < total and (rate := self._rate.due(done)):
            speed = f"{rate:,.0f} a second" if rate >= 1 else "less than 1 a second"
            remaining = humanize.duration(int((total - done) / rate * 1e9))
            self.report(f"{done:,} of {humanize.count(total, 'record')} done, {speed}, {remaining} left.")

    def show(self, state: str) -> None:
        """A log has no line that is redrawn."""

    def pause(self) -> None:
        self._rate = _ProgressRate()


class _TerminalOutput:
    """Lines with the time. Below them a progress bar, or a line with the present state, is redrawn.

    Args:
        has_times: whether the time is before each line.
    """

    def __init__(self, *, has_times: bool) -> None:
        self._form = "%H:%M:%S " if has_times else ""
        self._bar: Progress | None = None
        self._state: Live | None = None

    def report(self, line: str, **fields: Any) -> None:
        if line:
            self.pause()
            print_line(f"{datetime.now().strftime(self._form)}{line}")

    def progress(self, done: int, total: int) -> None:
        if self._bar is None:
            self.pause()
            columns = (SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
            self._bar = Progress(*columns, TimeRemainingColumn(), console=stdout_console(), transient=True)
            self._bar.add_task("", rate="")
            self._bar.start()
        task = self._bar.tasks[0]
        rate = f"{task.speed:,.0f}/s" if task.speed else ""
        self._bar.update(task.id, completed=done, total=total, rate=rate)

    def show(self, state: str) -> None:
        console = stdout_console()
        if self._bar is not None or console.is_dumb_terminal:
            return
        text = escaped(state, "dim")
        text.truncate(max(1, console.width - 1), overflow="ellipsis")
        if self._state is None:
            self._state = Live(text, console=console, transient=True, auto_refresh=False)
            self._state.start(refresh=True)
        else:
            self._state.update(text, refresh=True)

    def pause(self) -> None:
        for shown in (self._bar, self._state):
            if shown is not None:
                shown.stop()
        self._bar = self._state = None


class _ProgressRate:
    """The rate of progress since the last progress line."""

    def __init__(self) -> None:
        self._at, self._done = time.monotonic(), 0

    def due(self, done: int) -> float | None:
        """Records per second since the last line; None if the next line is not due yet."""
        passed = time.monotonic() - self._at
        if passed < _PROGRESS_INTERVAL or done == self._done:
            return None
        rate = (done - self._done) / passed
        self._at, self._done = time.monotonic(), done
        return rate
