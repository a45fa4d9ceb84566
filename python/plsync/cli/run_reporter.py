"""What ``plsync run`` says at work: a bar where somebody watches, else plain lines, or JSON lines for programs."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import Any, Final, Protocol

from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from plsync.callbacks.worker import CallbackReport
from plsync.cli import humanize
from plsync.cli.console import json_line, out, safe
from plsync.delivery.reports import FollowUpReport, PassReport, Pause, Step
from plsync.promptlayer.outcomes import Outcome, label

__all__ = ["Story"]

# Plain lines about a long backlog, at most so often, in seconds.
_LINE_EVERY: Final = 10.0

_SUMS: Final = (
    *("acked", "found", "resent", "in_doubt", "dead", "held"),
    *("followups", "followups_unclear", "followups_dead", "delivered", "failed"),
)


class _Teller(Protocol):
    def say(self, line: str, **facts: Any) -> None: ...

    def further(self, done: int, total: int) -> None: ...

    def rest(self) -> None: ...


@dataclass
class Story:
    """Counts what happened, and has it told."""

    json: bool
    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_SUMS, 0))
    halt: Outcome | None = None
    _total: int = 0

    def __post_init__(self) -> None:
        """Choose how to tell it."""
        self._teller: _Teller = _Programs() if self.json else _Watched() if sys.stdout.isatty() else _Lines()

    def expect(self, records: int) -> None:
        """So many are to be sent, as far as is known."""
        self._total = records

    def watch(self, so_far: PassReport) -> None:
        """A pass has got so far."""
        done = so_far.acked + so_far.in_doubt + so_far.dead
        self._teller.further(done, max(done, self._total))

    def tell(self, step: Step) -> None:
        """Count a step, and say what it did when it did something."""
        self._teller.rest()
        if isinstance(step, PassReport):
            self._pass(step)
        elif isinstance(step, FollowUpReport):
            self._said(step)
        elif isinstance(step, CallbackReport):
            self._add("delivered", step.delivered, "delivered", "callback")
            self._add("failed", step.failed + step.dead, "failed; kept", "callback")
            for error in step.errors:
                self._teller.say(error, event="callback_error", reason=error)
        else:
            self._teller.say(_waiting(step), event="waiting", seconds=round(step.seconds, 3))

    def say(self, line: str, **facts: Any) -> None:
        """Something else, for people and, with its facts, for programs."""
        self._teller.rest()
        self._teller.say(line, **facts)

    def end(self, work: dict[str, int], unavailable: list[str]) -> None:
        """Say what is left."""
        self._teller.rest()
        if self.json:
            halt = None if self.halt is None else {"outcome": label(self.halt), **asdict(self.halt)}
            self._teller.say("", event="end", **self.sums, left=work, halt=halt)
            return
        for line in _remains(work, unavailable) or ["Nothing left: every record is at PromptLayer."]:
            self._teller.say(line)

    def _pass(self, step: PassReport) -> None:
        self.halt = None
        self._add("acked", step.acked, "at PromptLayer")
        self._add("found", step.found, "of them there already, found by looking them up")
        self._add("resent", step.resent, "never arrived; will be sent again")
        self._add("in_doubt", step.in_doubt, "in doubt: sent, no clear answer; looked up before sent again")
        self._add("dead", step.dead, "refused; kept, see `plsync list --state dead`")
        self._add("held", step.held, "held: PromptLayer makes no log of it; see `plsync list --state held`")
        self._halted(step.halt)

    def _said(self, step: FollowUpReport) -> None:
        self._add("followups", step.sent, "sent", "follow-up")
        self._add("followups_unclear", step.unclear, "without a clear answer; sent again later", "follow-up")
        self._add("followups_dead", step.dead, "refused; kept", "follow-up")
        for error in step.errors:
            self._teller.say(error, event="followup_error", reason=error)
        self._halted(step.halt)

    def _halted(self, halt: Outcome | None) -> None:
        self.halt = halt or self.halt
        if halt is not None:
            self._teller.say(halt.reason, event="halt", outcome=label(halt).lower(), reason=halt.reason)

    def _add(self, name: str, number: int, what: str, noun: str = "record") -> None:
        self.sums[name] += number
        if number:
            self._teller.say(f"{humanize.count(number, noun)} {what}.", event=name, number=number)


class _Programs:
    """JSON, one object a line."""

    def __init__(self) -> None:
        self._every = _Every()
        # What callbacks print is sent elsewhere meanwhile.
        self._out = sys.stdout

    def say(self, line: str, **facts: Any) -> None:
        if facts:
            json_line({"event": facts.pop("event", "note"), "at": _now(), **facts}, self._out)

    def further(self, done: int, total: int) -> None:
        if rate := self._every.rate(done):
            self.say("", event="progress", done=done, total=total, per_second=round(rate, 1))

    def rest(self) -> None:
        self._every = _Every()


class _Lines:
    """Plain lines, a few about a long backlog."""

    def __init__(self) -> None:
        self._every = _Every()

    def say(self, line: str, **facts: Any) -> None:
        out().print(safe(line), soft_wrap=True)

    def further(self, done: int, total: int) -> None:
        if rate := self._every.rate(done):
            left = humanize.duration(int((total - done) / rate * 1e9))
            self.say(f"{done:,} of {humanize.count(total, 'record')} sent, {rate:,.0f} a second, {left} left.")

    def rest(self) -> None:
        self._every = _Every()


class _Watched:
    """A bar with rate and time left, and lines above it."""

    def __init__(self) -> None:
        self._bar: Progress | None = None

    def say(self, line: str, **facts: Any) -> None:
        out().print(safe(line), soft_wrap=True)

    def further(self, done: int, total: int) -> None:
        if self._bar is None:
            columns = (SpinnerColumn(), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
            self._bar = Progress(*columns, TimeRemainingColumn(), console=out(), transient=True)
            self._bar.add_task("", rate="")
            self._bar.start()
        task = self._bar.tasks[0]
        rate = f"{task.speed:,.0f}/s" if task.speed else ""
        self._bar.update(task.id, completed=done, total=total, rate=rate)

    def rest(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class _Every:
    """Says now and then how fast it goes."""

    def __init__(self) -> None:
        self._at, self._done = time.monotonic(), 0

    def rate(self, done: int) -> float | None:
        """Records a second since the last answer, when it is time for one."""
        passed = time.monotonic() - self._at
        if passed < _LINE_EVERY or done == self._done:
            return None
        rate = (done - self._done) / passed
        self._at, self._done = time.monotonic(), done
        return rate


def _waiting(step: Pause) -> str:
    if step.outcome is None:
        return f"Waiting {step.seconds:.0f} s until what is in doubt can be looked up."
    return f"Trying again in {step.seconds:.0f} s."


def _remains(work: dict[str, int], unavailable: list[str]) -> list[str]:
    lines = []
    if unsent := work.get("pending"):
        lines.append(f"Left: {humanize.count(unsent, 'record')} to send, safe in the journal; run this again.")
    # A lease that is still there is a stopped run's: nobody knows how far it got.
    if doubtful := work.get("in_doubt", 0) + work.get("leased", 0):
        lines.append(f"Left: {humanize.count(doubtful, 'record')} in doubt; run this again in a while to look them up.")
    if dead := work.get("dead"):
        lines.append(f"Left: {humanize.count(dead, 'record')} refused; `plsync list --state dead` shows them.")
    if held := work.get("held"):
        lines.append(f"Left: {humanize.count(held, 'record')} held back; `plsync list --state held` shows them.")
    if unsaid := work.get("followups"):
        lines.append(f"Left: {humanize.count(unsaid, 'follow-up')} to send, once their records are at PromptLayer.")
    if refused := work.get("followups_dead"):
        lines.append(
            f"Left: {humanize.count(refused, 'follow-up')} refused; `plsync show ID` of their record says why."
        )
    if waiting := work.get("callbacks"):
        lines.append(
            f"Left: {humanize.count(waiting, 'callback')} to deliver, by the program they belong to or later here."
        )
        lines += unavailable
    return lines


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")
