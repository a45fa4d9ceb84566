"""Conditions of a query that need more of a record than the store's indexes have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from plsync.journal.record import Record, State

__all__ = ["Condition", "Delivered"]


class Condition(Protocol):
    """A condition, checked after the conditions of the store."""

    def passes(self, record: Record) -> bool:
        """Whether the record meets it."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """One of these states, each with whether the quota must have removed the content; None: it does not matter."""

    states: frozenset[tuple[State, bool | None]]

    def passes(self, record: Record) -> bool:
        """Whether the record meets it."""
        return (record.state, None) in self.states or (record.state, record.pruned or record.forgotten) in self.states
