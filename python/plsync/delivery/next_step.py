"""The next step for the records that wait to be sent or looked up."""

from __future__ import annotations

from typing import Final

from plsync.delivery.lock import SenderProcess
from plsync.journal.reports import Stats
from plsync.journal.servers import LastRun

__all__ = ["next_step"]

_WAITING: Final = "waiting: "
# After these outcomes a person has to change a setting first. Reports of earlier versions do not name it.
_REMEDIES: Final = {
    "unauthorized": "set PROMPTLAYER_API_KEY to a valid key",
    "misdirected": "check PROMPTLAYER_BASE_URL",
}

# Outcomes of a run that need no change of a setting.
_PASSING: Final = {"ok", "offline", "throttled", "ambiguous", "exhausted"}
# After these outcomes the network may be missing.
_REACHES_NOTHING: Final = {"ok", "offline"}


def next_step(stats: Stats, sender: SenderProcess | None) -> str | None:
    """The next step for records that wait to be sent or looked up; None if all of them are in doubt elsewhere."""
    to_go = sum(stats.left.get(state, 0) for state in ("pending", "leased", "in_doubt")) - _elsewhere(stats)
    if not to_go:
        return None
    if sender is not None:
        if sender.activity.startswith(_WAITING):
            reason = sender.activity.removeprefix(_WAITING)
            return f"Process {sender.pid} tries again after a pause; {to_go:,} to go. The reason: {reason}"
        return f"Process {sender.pid} is sending; {to_go:,} to go."
    is_unclear = not stats.left.keys() & {"pending", "leased"}
    return _next_after(
        stats.last_run, to_go, "looks up the unclear records" if is_unclear else "sends the waiting records"
    )


def _next_after(run: LastRun | None, to_go: int, work: str) -> str:
    """The next step after the last run, while no sender runs. ``work`` names the work of the next run."""
    if run is not None and run.ended_at is not None:
        if remedy := run.remedy or _REMEDIES.get(run.outcome):
            return f"Next: {remedy}, then `plsync run`."
        if run.outcome not in _PASSING:
            # The message of an error has its own next step.
            return f"Next: see the reason of the last run; {to_go:,} to go."
        if run.outcome not in _REACHES_NOTHING:
            return f"Next: `plsync run` {work}. The last run ended for the reason above."
    return f"Next: `plsync run` {work} as soon as this machine reaches PromptLayer."


def _elsewhere(stats: Stats) -> int:
    return sum(server.in_doubt for server in stats.servers if not server.bound)
