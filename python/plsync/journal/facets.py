"""Numbers of records by value and over time: :meth:`plsync.Journal.facets`, :meth:`plsync.Journal.histogram`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from plsync.journal.record import STATES
from plsync.journal.words import DELIVERIES, DELIVERY_OF_STATE, RESULTS, result_of_end

__all__ = ["Facets", "Histogram"]


@dataclass(frozen=True, slots=True)
class Facets:
    """The records of a selection, counted by value."""

    total: int
    """All records of the selection."""
    results: dict[str, int]
    """By how the call went, in the words of ``plsync list``. Each word is a key."""
    deliveries: dict[str, int]
    """By where the record is, in the words of ``plsync list``. Each word is a key."""
    models: list[tuple[str, int]]
    """The models of the most records. A call that overrides its model may have two."""
    tags: list[tuple[str, int]]
    threads: list[tuple[str, int]]
    providers: list[tuple[str, int]]
    is_partial: bool = False
    """The budget ended before all records were searched for a text or a value: the counts are of the newest part."""

    @classmethod
    def from_dict(cls, found: dict[str, Any], *, is_partial: bool) -> Facets:
        """The facets that the store counted."""
        results: dict[str, int] = dict.fromkeys(RESULTS, 0)
        deliveries: dict[str, int] = dict.fromkeys(DELIVERIES, 0)
        for number, count in enumerate(found["ended"]):
            results[result_of_end(number)] += count
        for state, count in zip(STATES, found["states"], strict=True):
            deliveries[DELIVERY_OF_STATE[state]] += count
        for word, removed in zip(("refused", "held"), found["removed"], strict=True):
            deliveries[word] -= removed
            deliveries["dropped"] += removed
        values = {name: _texts(found[name]) for name in ("models", "tags", "threads", "providers")}
        return cls(found["total"], results, deliveries, **values, is_partial=is_partial)

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Histogram:
    """The records of a selection over time."""

    edges: list[int]
    """The borders of the buckets, in ms since the epoch: one more than buckets. Empty without a record."""
    calls: list[int]
    """The records by bucket."""
    errors: list[int]
    """The records by bucket with the result ``error``."""
    is_partial: bool = False
    """As in :class:`Facets`."""

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able."""
        return asdict(self)


def _texts(counts: list[tuple[bytes, int]]) -> list[tuple[str, int]]:
    return [(value.decode("utf-8", "replace"), count) for value, count in counts]
