"""Reports a run: which lines it prints about its steps, and the sums of their numbers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Final, TextIO

from plsync.callbacks.worker import CallbackReport
from plsync.cli import humanize
from plsync.cli.output import print_note
from plsync.cli.run_changes import Change, Interruptions, Repetitions, Sum, same_reason
from plsync.cli.run_messages import (
    delivered_line,
    failure_line,
    failure_name,
    key_line,
    left_lines,
    repeated,
    resumed_line,
    shown_path,
)
from plsync.cli.run_output import choose_output
from plsync.cli.run_result import Served
from plsync.delivery.policy import SendPolicy
from plsync.delivery.reports import FollowUpReport, KeyReport, PassReport, Pause, Step
from plsync.journal.servers import Server
from plsync.promptlayer.outcomes import Exhausted, Outcome, Unreachable, label

__all__ = ["RunReporter"]

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
    "dropped",
)


@dataclass
class RunReporter:
    """Reports the steps of a run, and sums them up.

    A run that goes on prints a line for each change, and sums of results that repeat. A single run, and ``verbose``,
    print every result.

    Args:
        json: print one JSON object per line.
        verbose: print each batch and each pause.
        once: the run ends when nothing more can be done.
        policy: the times that the lines name.
        workspace: the workspace whose name begins each line; None for a run of one journal.
        option: chooses the journal of this workspace, for the commands in the lines.
        stdout: the stream for JSON. A run redirects the prints of callbacks to stderr, and JSON still goes to stdout.
    """

    json: bool
    verbose: bool = False
    once: bool = False
    policy: SendPolicy = field(default_factory=SendPolicy)
    workspace: str | None = None
    option: str = ""
    stdout: TextIO = field(default_factory=lambda: sys.stdout)
    place: Callable[[], str] = lambda: "PromptLayer"
    """Returns the server of the records, in words."""
    sums: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_SUMS, 0))
    """The sum of each number that was reported, by its event."""
    halt: Outcome | None = None
    """The outcome that ended the last pass early; None if it ended normally."""
    _total: int = 0
    _sources: list[str] = field(default_factory=list)
    _waiting: str | None = None
    _interruptions: Interruptions = field(default_factory=Interruptions)
    _repetitions: Repetitions = field(default_factory=Repetitions)

    def __post_init__(self) -> None:
        self._output = choose_output(
            json=self.json, once=self.once, workspace=self.workspace, option=self.option, stdout=self.stdout
        )
        self._prints_all = self.json or self.verbose or self.once
        self._last_delivery: datetime | None = None
        self._pass_changed = False
        self._runs = 0

    @property
    def interruption(self) -> Outcome | None:
        """The outcome that keeps the run from delivering, also after a round that had nothing to send."""
        return self.halt or self._interruptions.outcome

    def expect(self, records: int) -> None:
        """Set the number of records to send, for the progress."""
        self._total = records

    def progress(self, sent: PassReport) -> None:
        """Show the progress of a pass that is running."""
        done = sent.acked + sent.in_doubt + sent.dead
        if done > 1 or self._total > 1:
            self._output.progress(done, max(done, self._total))

    def report(self, step: Step) -> None:
        """Add a step to the sums, and print its effects."""
        if isinstance(step, PassReport):
            self._report_pass(step)
        elif isinstance(step, FollowUpReport):
            self._report_followups(step)
        elif isinstance(step, CallbackReport):
            self._add("delivered", step.delivered, "delivered", "callback")
            self._add("failed", step.failed + step.dead, "failed; kept", "callback")
            self._add_errors("callback_error", step.errors)
        elif isinstance(step, KeyReport):
            fields = {"changed": step.changed, "reason": step.error}
            self._output.report(key_line(step), event="key", where=step.where, **fields)
        else:
            self._report_pause(step)
        self._print_sums(self._repetitions.due())
        self._print_change(self._interruptions.due())
        if not self.once:
            self._output.show(self._state(step))

    def report_rebound(self, old: Server, url: str) -> None:
        """Print that the journal sends to another server or workspace from now on."""
        before = f"{humanize.count(old.acked, 'record')} went to {old.url} before"
        unclear = f", and {humanize.count(old.in_doubt, 'unclear record')} stay there" if old.in_doubt else ""
        line = f"This journal sends to {url} from now on; {before}{unclear}."
        fields = {"server": url, "before": old.as_dict()}
        self._output.report(line, event="rebound", **fields)

    def report_sources(self, sources: Mapping[str, str]) -> None:
        """Print the file of each function that was imported since the last call.

        Args:
            sources: the files by the names of the sinks. Other threads add to them.
        """
        for sink, file in list(sources.items())[len(self._sources) :]:
            self._sources.append(sink)
            self._output.report(f"{sink} is in {shown_path(file)}.", event="function", sink=sink, file=file)

    def report_dropped(self, number: int) -> None:
        """Print that the quota removed the content of records that were not sent."""
        self._add("dropped", number, "not sent: the quota removed the content; see `plsync list --delivery dropped`")

    def fail(self, reason: str) -> None:
        """Print the error for which a workspace is not served now."""
        self._output.pause()
        if self.json:
            self._output.report(reason, event="error", reason=reason)
        print_note(f"plsync: {reason}" if self.workspace is None else f"plsync: {self.workspace}: {reason}")

    def close(self) -> None:
        """Print the sums that were not printed yet, and remove the line that is redrawn."""
        self._output.pause()
        self._print_sums(self._repetitions.rest())

    def finish(self, served: Served) -> None:
        """Print the remaining work."""
        if self.json:
            halt = None if self.halt is None else {"outcome": label(self.halt), **asdict(self.halt)}
            self._output.report("", event="end", **self.sums, left=served.left, halt=halt)
            return
        left = left_lines(served.shown, served.unavailable, stranded=served.stranded, elsewhere=served.elsewhere)
        for line in left or [delivered_line(self.sums, self._runs)]:
            self._output.report(line)

    def _report_pass(self, step: PassReport) -> None:
        self._output.pause()
        place = self.place()
        self._runs += step.runs
        self._add("acked", step.acked, f"at {place}")
        self._add("found", step.found, f"already at {place}, found by a look-up")
        self._add("resent", step.resent, f"not at {place}, as a look-up showed; sent again")
        self._add("in_doubt", step.in_doubt, "unclear: sent without a clear response; looked up before a resend")
        self._add("dead", step.dead, "refused; kept, see `plsync list --delivery refused`")
        self._add("held", step.held, "held: PromptLayer makes no log of it; see `plsync list --delivery held`")
        self.halt = step.halt
        if step.halt is None:
            # The backlog of the start is sent.
            self._total = 0
        self._pass_changed = step.changed_state
        # A pass without a failure ends no interruption: the follow-ups after it may fail.
        if step.halt is not None:
            self._print_change(self._interruptions.observe(step.halt))

    def _report_followups(self, step: FollowUpReport) -> None:
        self._add("followups", step.sent, "sent", "follow-up")
        self._add("followups_unclear", step.unclear, "sent without a clear response; resent later", "follow-up")
        self._add("followups_dead", step.dead, "refused; kept, see `plsync list --follow-ups refused`", "follow-up")
        self._add_errors("followup_error", step.errors)
        self.halt = step.halt or self.halt
        # A round that sends nothing proves nothing about a server that failed: records in doubt wait for their look-up.
        local = isinstance(self._interruptions.outcome, Unreachable | Exhausted)
        if self.halt is not None or local or self._pass_changed or step.changed_state:
            self._print_change(self._interruptions.observe(self.halt))

    def _report_pause(self, step: Pause) -> None:
        reason = "" if step.outcome is None else f"{type(step.outcome).__name__} {same_reason(step.outcome.reason)}"
        if step.outcome is not None:
            # A probe may have failed in another way than the round before it.
            self._print_change(self._interruptions.observe(step.outcome))
        if step.outcome is None:
            line = f"Waiting {step.seconds:.0f} s before the look-up of unclear records."
        else:
            line = f"Trying again in {step.seconds:.0f} s." if self.verbose else ""
        if reason != self._waiting or (line and not self.json):
            self._waiting = reason
            why = None if step.outcome is None else step.outcome.reason
            self._output.report(line, event="waiting", seconds=round(step.seconds, 3), reason=why)

    def _print_change(self, change: Change | None) -> None:
        if change is None:
            return
        if change.outcome is not None:
            outcome = label(change.outcome).lower()
            line = failure_line(change, change.outcome, None if self.once else self.policy)
            self._output.report(line, event="halt", outcome=outcome, reason=change.outcome.reason, short=change.short)
            return
        self._waiting = None
        fields = {"seconds": round(change.seconds, 3), "short": change.short}
        self._output.report(resumed_line(change), event="resumed", **fields)

    def _add(self, event: str, number: int, text: str, noun: str = "record") -> None:
        self.sums[event] += number
        if number and event in {"acked", "followups", "delivered"}:
            self._last_delivery = datetime.now().astimezone()
        self._print(event, number, lambda number: f"{humanize.count(number, noun)} {text}.", {"number": number})

    def _add_errors(self, event: str, errors: Iterable[str]) -> None:
        for error in errors:
            self._print(f"{event} {same_reason(error)}", 1, repeated(error), {"event": event, "reason": error})

    def _print(self, kind: str, number: int, text: Callable[[int], str], fields: dict[str, object]) -> None:
        if not number:
            return
        if self._prints_all:
            self._output.report(text(number), **{"event": kind, **fields})
        else:
            self._print_sums(self._repetitions.add(kind, number, text))

    def _print_sums(self, sums: Iterable[Sum]) -> None:
        for one in sums:
            line = one.text(one.number)
            if one.seconds:
                line = f"{line.removesuffix('.')} in the last {humanize.span(one.seconds)}."
            self._output.report(line)

    def _state(self, step: Step) -> str:
        """The line that a terminal redraws."""
        if (outcome := self._interruptions.outcome) is not None:
            pause = f"; next try in {step.seconds:.0f} s" if isinstance(step, Pause) else ""
            length = humanize.span(self._interruptions.seconds)
            return f"{failure_name(outcome)} for {length}{pause}: {outcome.reason}"
        sent = f"{humanize.count(self.sums['acked'], 'record')}, {humanize.count(self.sums['followups'], 'follow-up')}"
        if self._last_delivery is None:
            return "waiting for new calls"
        return f"delivered {sent}, the last at {self._last_delivery:%H:%M:%S}; waiting for new calls"
