"""The numbers of records by their delivery, in the words of ``plsync list``."""

from __future__ import annotations

from collections.abc import Mapping

from plsync.journal.journal import Journal
from plsync.journal.reports import Stats

__all__ = ["deliveries", "left_by_delivery"]


def deliveries(journal: Journal, stats: Stats) -> dict[str, int]:
    """The numbers of records by state, where ``dropped`` has the dead and held records without content.

    The store counts these records in their states. They can never be sent, and PromptLayer has refused none of them.
    """
    counted = {**stats.states, "dropped": stats.dropped}
    dropped_held = 0
    if stats.dropped and stats.states.get("held"):
        dropped_held = sum(record.pruned for record in journal.records(state="held"))
    for state, dropped in (("held", dropped_held), ("dead", stats.dropped - dropped_held)):
        counted[state] = max(0, counted.get(state, 0) - dropped)
    return counted


def left_by_delivery(journal: Journal, stats: Stats) -> Mapping[str, int]:
    """The work that is left, as ``Stats.left``, where ``dropped`` has the dead and held records without content."""
    if not stats.dropped:
        return stats.left
    counted = deliveries(journal, stats)
    changed = {name: counted[name] for name in ("dead", "held", "dropped")}
    return {name: number for name, number in {**stats.left, **changed}.items() if number}
