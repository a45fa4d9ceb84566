"""The output of ``plsync run``: a progress bar in a terminal, plain lines in a pipe, JSON lines for programs."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final, Protocol, TextIO

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from plsync.callbacks.worker import CallbackReport
from plsync.cli import humanize
from plsync.cli.output import print_json, print_line, print_note, stdout_console
from plsync.delivery.reports import FollowUpReport, KeyReport, PassReport, Pause, Step
from plsync.promptlayer.outcomes import Outcome, label

__all__ = ["RunReporter"]

# The least seconds between two progress lines.
_PROGRESS_INTERVAL: Final = 10.0

_SUMS: Final = (
    "acked",
    "found",
    "resent",
    "in_doubt",
    "dead",
    "held",
    "followups",
    "followups_unclear",
    "followups_dead",
    "delivered",
    "failed",
)


class _Output(Protocol):
    def report(self, line: str, **fields: Any) -> None:
        """Print an event: ``line`` for people, ``fields`` for programs."""

    def progress(self, done: int, total: int) -> None:
        """Show the progress of a pass, in records."""

    def pause(self) -> None:
        """Remove the progress display until the next progress."""


@dataclass
class RunReporter:
    """Reports the steps of a run, and sums them up.

    Args:
        json: print one JSON object per line.
        workspace: the workspace whose name begins each line; None for a run of one journal.
        stdout: the stream for JSON. A run redirects the prints of callbacks to stderr, and JSON still goes to stdout.
    """

    json: bool
    workspace: str | None = None
    stdout: TextIO = field(default_factory=lambda: sys.stdout)
    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_SUMS, 0))
    """The sum of each number that was reported, by its event."""
    halt: Outcome | None = None
    """The outcome that ended the last pass early; None if it ended normally."""
    _total: int = 0
    _sources: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        # Several progress bars would write to one place.
        has_bar = sys.stdout.isatty() and self.workspace is None
        self._output: _Output = _JsonOutput(self.stdout) if self.json else _BarOutput() if has_bar else _LineOutput()
        if self.workspace is not None:
            self._output = _NamedOutput(self._output, self.workspace)

    def expect(self, records: int) -> None:
        """Set the number of records to send, for the progress."""
        self._total = records

    def progress(self, sent: PassReport) -> None:
        """Show the progress of a pass that is running."""
        done = sent.acked + sent.in_doubt + sent.dead
        self._output.progress(done, max(done, self._total))

    def report(self, step: Step) -> None:
        """Add a step to the sums, and print its effects."""
        self._output.pause()
        if isinstance(step, PassReport):
            self._report_pass(step)
        elif isinstance(step, FollowUpReport):
            self._report_followups(step)
        elif isinstance(step, CallbackReport):
            self._add("delivered", step.delivered, "delivered", "callback")
            self._add("failed", step.failed + step.dead, "failed; kept", "callback")
            for error in step.errors:
                self._output.report(error, event="callback_error", reason=error)
        elif isinstance(step, KeyReport):
            fields = {"changed": step.changed, "reason": step.error}
            self._output.report(_key_line(step), event="key", where=step.where, **fields)
        else:
            self._output.report(_pause_line(step), event="waiting", seconds=round(step.seconds, 3))

    def report_sources(self, sources: Mapping[str, str]) -> None:
        """Print the file of each function that was imported since the last call.

        Args:
            sources: the files by the names of the sinks. Other threads add to them.
        """
        for sink, file in list(sources.items())[len(self._sources) :]:
            self._sources.append(sink)
            self._output.pause()
            self._output.report(f"{sink} is in {_shown(file)}.", event="function", sink=sink, file=file)

    def fail(self, reason: str) -> None:
        """Print the error for which a workspace is not served now."""
        self._output.pause()
        if self.json:
            self._output.report(reason, event="error", reason=reason)
        print_note(f"plsync: {reason}" if self.workspace is None else f"plsync: {self.workspace}: {reason}")

    def finish(self, left: dict[str, int], unavailable: list[str]) -> None:
        """Print the remaining work.

        Args:
            left: the numbers of records by state, and of callbacks and follow-ups.
            unavailable: one message for each callback function that could not be imported.
        """
        self._output.pause()
        if self.json:
            halt = None if self.halt is None else {"outcome": label(self.halt), **asdict(self.halt)}
            self._output.report("", event="end", **self.sums, left=left, halt=halt)
            return
        for line in _left_lines(left, unavailable) or ["Nothing left: every record is at PromptLayer."]:
            self._output.report(line)

    def _report_pass(self, step: PassReport) -> None:
        self.halt = None
        self._add("acked", step.acked, "at PromptLayer")
        self._add("found", step.found, "already at PromptLayer, found by a look-up")
        self._add("resent", step.resent, "not at PromptLayer, as a look-up showed; sent again")
        self._add("in_doubt", step.in_doubt, "unclear: sent without a clear response; looked up before a resend")
        self._add("dead", step.dead, "refused; kept, see `plsync list --delivery refused`")
        self._add("held", step.held, "held: PromptLayer makes no log of it; see `plsync list --delivery held`")
        self._report_halt(step.halt)

    def _report_followups(self, step: FollowUpReport) -> None:
        self._add("followups", step.sent, "sent", "follow-up")
        self._add("followups_unclear", step.unclear, "sent without a clear response; resent later", "follow-up")
        self._add("followups_dead", step.dead, "refused; kept, see `plsync show ID`", "follow-up")
        for error in step.errors:
            self._output.report(error, event="followup_error", reason=error)
        self._report_halt(step.halt)

    def _report_halt(self, halt: Outcome | None) -> None:
        self.halt = halt or self.halt
        if halt is not None:
            self._output.report(halt.reason, event="halt", outcome=label(halt).lower(), reason=halt.reason)

    def _add(self, event: str, number: int, text: str, noun: str = "record") -> None:
        self.sums[event] += number
        if number:
            self._output.report(f"{humanize.count(number, noun)} {text}.", event=event, number=number)


class _NamedOutput:
    """Adds the name of a workspace to each event of another output."""

    def __init__(self, output: _Output, name: str) -> None:
        self._inner = output
        self._name = name

    def report(self, line: str, **fields: Any) -> None:
        self._inner.report(f"{self._name}: {line}", **fields, **({"workspace": self._name} if fields else {}))

    def progress(self, done: int, total: int) -> None:
        self._inner.progress(done, total)

    def pause(self) -> None:
        self._inner.pause()


class _JsonOutput:
    """JSON, one object per line."""

    def __init__(self, stdout: TextIO) -> None:
        self._rate = _ProgressRate()
        self._stdout = stdout

    def report(self, line: str, **fields: Any) -> None:
        if fields:
            print_json({"event": fields.pop("event", "note"), "at": _now(), **fields}, self._stdout)

    def progress(self, done: int, total: int) -> None:
        if rate := self._rate.due(done):
            self.report("", event="progress", done=done, total=total, per_second=round(rate, 1))

    def pause(self) -> None:
        self._rate = _ProgressRate()


class _LineOutput:
    """Plain lines, with a progress line every ten seconds."""

    def __init__(self) -> None:
        self._rate = _ProgressRate()

    def report(self, line: str, **fields: Any) -> None:
        print_line(line)

    def progress(self, done: int, total: int) -> None:
        if rate := self._rate.due(done):
            remaining = humanize.duration(int((total - done) / rate * 1e9))
            self.report(f"{done:,} of {humanize.count(total, 'record')} sent, {rate:,.0f} a second, {remaining} left.")

    def pause(self) -> None:
        self._rate = _ProgressRate()


class _BarOutput:
    """A progress bar with the rate and the remaining time, and plain lines above it."""

    def __init__(self) -> None:
        self._bar: Progress | None = None

    def report(self, line: str, **fields: Any) -> None:
        print_line(line)

    def progress(self, done: int, total: int) -> None:
        if self._bar is None:
            columns = (SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
            self._bar = Progress(*columns, TimeRemainingColumn(), console=stdout_console(), transient=True)
            self._bar.add_task("", rate="")
            self._bar.start()
        task = self._bar.tasks[0]
        rate = f"{task.speed:,.0f}/s" if task.speed else ""
        self._bar.update(task.id, completed=done, total=total, rate=rate)

    def pause(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


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


def _shown(file: str) -> str:
    """The path of a file from the working directory, if it is inside."""
    try:
        return os.path.join(".", os.path.relpath(file)) if Path.cwd() in Path(file).parents else file
    except OSError:  # the working directory was removed
        return file


def _key_line(step: KeyReport) -> str:
    if step.error is not None:
        return f"The API key was not read again: {step.error}."
    return f"Read the API key again: {step.where} {'has a new key' if step.changed else 'has the same key'}."


def _pause_line(step: Pause) -> str:
    if step.outcome is None:
        return f"Waiting {step.seconds:.0f} s before the look-up of unclear records."
    return f"Trying again in {step.seconds:.0f} s."


def _left_lines(left: dict[str, int], unavailable: list[str]) -> list[str]:
    lines = []
    if pending := left.get("pending"):
        lines.append(f"Left: {humanize.count(pending, 'record')} to send, kept in the journal; run this again.")
    # A leased record at the end of a run belongs to a run that was killed. The record may have been sent.
    if in_doubt := left.get("in_doubt", 0) + left.get("leased", 0):
        lines.append(f"Left: {humanize.count(in_doubt, 'record')} with an unclear delivery; run this again later.")
    if dead := left.get("dead"):
        lines.append(f"Left: {humanize.count(dead, 'record')} refused; `plsync list --delivery refused` lists them.")
    if held := left.get("held"):
        lines.append(f"Left: {humanize.count(held, 'record')} held back; `plsync list --delivery held` lists them.")
    if followups := left.get("followups"):
        lines.append(f"Left: {humanize.count(followups, 'follow-up')} to send after their records; run this again.")
    if refused := left.get("followups_dead"):
        lines.append(f"Left: {humanize.count(refused, 'follow-up')} refused; `plsync show ID` shows the reason.")
    if callbacks := left.get("callbacks"):
        lines.append(
            f"Left: {humanize.count(callbacks, 'callback')} to deliver by their program or by a later run;"
            " `plsync status` lists them."
        )
        lines += unavailable
    return lines


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
