"""The lines of ``plsync run`` in words."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from plsync.cli import humanize
from plsync.cli.run_changes import Change
from plsync.delivery.policy import RULES, Action, SendPolicy
from plsync.delivery.reports import KeyReport
from plsync.promptlayer.outcomes import (
    Ambiguous,
    Exhausted,
    Misdirected,
    OtherWorkspace,
    Outcome,
    Throttled,
    Unauthorized,
    Unreachable,
)

__all__ = [
    "delivered_line",
    "failure_line",
    "failure_name",
    "key_line",
    "left_lines",
    "repeated",
    "resumed_line",
    "shown_path",
]

_FAILURES: Final[Mapping[type[Outcome], str]] = {
    Unreachable: "offline",
    Unauthorized: "not sending, the API key was refused",
    OtherWorkspace: "not sending, the API key is of another workspace",
    Misdirected: "not sending, the server is not PromptLayer",
    Throttled: "throttled",
    Ambiguous: "not sending, no clear response",
    Exhausted: "not sending, this machine is short of a resource",
}
# An interruption that is printed late is printed with its present length.
_LATE: Final = 60.0


def failure_name(outcome: Outcome) -> str:
    """The failure in a word or two."""
    return _FAILURES.get(type(outcome), "not sending")


def failure_line(change: Change, outcome: Outcome, policy: SendPolicy | None) -> str:
    """The line at the beginning of an interruption.

    Args:
        change: the change to print.
        outcome: its failure.
        policy: the times to wait; None for a run that does not wait.
    """
    late = f" for {humanize.span(change.seconds)}" if change.seconds >= _LATE else ""
    # A person has to change a setting after some failures, and a run that has just begun ends.
    is_retried = policy is not None and RULES[type(outcome)].action is not Action.STOP
    again = f"; {_next_try(outcome, policy)}" if policy is not None and is_retried else ""
    name = failure_name(outcome)
    reason = outcome.reason.removesuffix(".")
    # A reason may begin with the same words.
    if reason.startswith(clear := name.rpartition(", ")[2]):
        name = name.removesuffix(f", {clear}")
    if policy is None and isinstance(outcome, Throttled) and outcome.retry_after is not None:
        again = f"; the server requests a pause of {outcome.retry_after:.0f} s"
    return f"{name}{late}: {reason}{again}{_short_ones(change.short)}"


def _next_try(outcome: Outcome, policy: SendPolicy) -> str:
    if isinstance(outcome, Unreachable):
        return f"looking again every {policy.shortest_pause:.0f} to {policy.longest_offline:.0f} s"
    if isinstance(outcome, Throttled) and outcome.retry_after is not None:
        return f"trying again after {outcome.retry_after:.0f} s, as the server requests"
    return f"trying again after pauses of up to {policy.longest_pause:.0f} s"


def resumed_line(change: Change) -> str:
    """The line at the end of an interruption."""
    if change.before is None:
        lengths = f"; the last took {humanize.span(change.seconds)}"
        return f"sending goes on after {humanize.count(change.short, 'short interruption')}{lengths}"
    again = "online" if isinstance(change.before, Unreachable) else "sending"
    return f"{again} again after {humanize.span(change.seconds)}{_short_ones(change.short)}"


def _short_ones(number: int) -> str:
    return f" ({humanize.count(number, 'short interruption')} before)" if number else ""


def repeated(error: str) -> Callable[[int], str]:
    """Formats an error with the number of its repetitions."""
    return lambda number: error if number == 1 else f"{error} ({number:,} times)"


def shown_path(file: str) -> str:
    """The path of a file from the working directory, if it is inside."""
    try:
        return os.path.join(".", os.path.relpath(file)) if Path.cwd() in Path(file).parents else file
    except OSError:  # the working directory was removed
        return file


def key_line(step: KeyReport) -> str:
    """The line after the API key was read again."""
    if step.error is not None:
        return f"The API key was not read again: {step.error}."
    return f"Read the API key again: {step.where} {'has a new key' if step.changed else 'has the same key'}."


def delivered_line(sums: Mapping[str, int], runs: int = 0) -> str:
    """The line at the end of a run that leaves no work: the numbers that it delivered.

    Args:
        sums: the numbers by event.
        runs: the chains, tools and retrievers. Beside calls, they go without a mention.

    >>> delivered_line({"acked": 27, "followups": 1, "delivered": 0})
    'All delivered: 27 records, 1 follow-up.'
    >>> delivered_line({"acked": 0, "followups": 0, "delivered": 0}, runs=3)
    'All delivered: 3 runs.'
    """
    counted = (("acked", "record"), ("followups", "follow-up"), ("delivered", "callback"))
    parts = [humanize.count(sums[event], noun) for event, noun in counted if sums[event]]
    if runs and not sums["acked"]:
        parts.insert(0, humanize.count(runs, "run"))
    return f"All delivered: {', '.join(parts)}." if parts else "Nothing to deliver: the journal has no work left."


def left_lines(
    left: Mapping[str, int], unavailable: list[str], *, stranded: int = 0, elsewhere: Mapping[str, int] | None = None
) -> list[str]:
    """The remaining work, one line for each kind; empty without any.

    Args:
        left: the numbers of records by state, of records that the quota dropped, and of callbacks and follow-ups.
        unavailable: one message for each callback function that could not be imported.
        stranded: the follow-ups of refused and held records.
        elsewhere: the records in doubt at each server that the journal does not send to any more.
    """
    elsewhere = elsewhere or {}
    lines = []
    if pending := left.get("pending"):
        lines.append(f"Left: {humanize.count(pending, 'record')} to send, kept in the journal; run this again.")
    if not pending and (runs := left.get("runs")):
        lines.append(f"Left: {humanize.count(runs, 'run')} of trees not sent, kept in the journal; run this again.")
    # A leased record at the end of a run belongs to a run that was killed. The record may have been sent.
    if in_doubt := left.get("in_doubt", 0) + left.get("leased", 0) - sum(elsewhere.values()):
        lines.append(f"Left: {humanize.count(in_doubt, 'record')} with an unclear delivery; run this again later.")
    for url, number in elsewhere.items():
        # This server neither looks them up nor gets them.
        records = humanize.count(number, "record")
        lines.append(f"Left: {records} with an unclear delivery at {url}; `plsync status` has the next step.")
    if dead := left.get("dead"):
        lines.append(f"Left: {humanize.count(dead, 'record')} refused; `plsync list --delivery refused` lists them.")
    if held := left.get("held"):
        lines.append(f"Left: {humanize.count(held, 'record')} held back; `plsync list --delivery held` lists them.")
    if dropped := left.get("dropped"):
        lines.append(
            f"Left: {humanize.count(dropped, 'record')} without content, which the quota removed;"
            " `plsync list --delivery dropped` lists them, `plsync forget --delivery dropped` lets go of them."
        )
    if followups := left.get("followups", 0) - stranded:
        lines.append(f"Left: {humanize.count(followups, 'follow-up')} to send after their records; run this again.")
    if stranded:
        lines.append(f"Left: {humanize.count(stranded, 'follow-up')} of refused or held records, kept with them.")
    if refused := left.get("followups_dead"):
        lines.append(
            f"Left: {humanize.count(refused, 'follow-up')} refused; `plsync list --follow-ups refused` lists them."
        )
    if callbacks := left.get("callbacks"):
        lines.append(
            f"Left: {humanize.count(callbacks, 'callback')} to deliver by their program or by a later run;"
            " `plsync status` lists them."
        )
        lines += unavailable
    return lines
