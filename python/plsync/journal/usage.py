"""Sums of calls: numbers, errors, tokens and durations, by model, day, tag or thread.

A :class:`Measure` is all that the sums need of a call. :func:`measures` reads it from a record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Literal, get_args

from plsync.journal import words
from plsync.journal.conditions import thread_of
from plsync.journal.durations import Durations
from plsync.journal.record import Record

__all__ = ["GROUPINGS", "GroupUsage", "Grouping", "Measure", "UsageReport", "measures", "summed"]

Grouping = Literal["model", "day", "tag", "thread"]
GROUPINGS: Final[tuple[Grouping, ...]] = get_args(Grouping)

# Further groups are summed as one, so that a journal with a thread per call needs no memory for each.
_MOST_GROUPS: Final = 100_000
OTHERS: Final = "(others)"
_NONE: Final[dict[Grouping, str]] = {"model": "(unknown)", "day": "", "tag": "(no tag)", "thread": "(no thread)"}


@dataclass(frozen=True, slots=True)
class Measure:
    """The figures of one call."""

    keys: tuple[str, ...]
    """Its groups: one, or one for each tag."""
    is_error: bool
    is_cached: bool
    tokens: tuple[int, int] | None
    """Input and output tokens; None if the provider reported none."""
    duration_ns: int | None


@dataclass(slots=True)
class GroupUsage:
    """The sums of a group of calls."""

    calls: int = 0
    errors: int = 0
    """Calls with the result ``error``."""
    cached: int = 0
    """Calls that a cache of LangChain answered. They count for no tokens and no duration."""
    without_tokens: int = 0
    """Calls whose provider reported no tokens."""
    input_tokens: int = 0
    output_tokens: int = 0
    durations: Durations = field(default_factory=Durations)

    def add(self, measure: Measure) -> None:
        """Add a call."""
        self.calls += 1
        self.errors += measure.is_error
        if measure.is_cached:
            self.cached += 1
            return
        if measure.tokens is None:
            self.without_tokens += 1
        else:
            self.input_tokens += measure.tokens[0]
            self.output_tokens += measure.tokens[1]
        if measure.duration_ns is not None:
            self.durations.add(measure.duration_ns)

    def as_dict(self) -> dict[str, Any]:
        """The sums by name, JSON-able; the percentiles of the durations in ns, or None."""
        return {
            "calls": self.calls,
            "errors": self.errors,
            "cached": self.cached,
            "without_tokens": self.without_tokens,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "p50_ns": self.durations.percentile(50),
            "p95_ns": self.durations.percentile(95),
        }


@dataclass(frozen=True, slots=True)
class UsageReport:
    """The sums of calls by group. See :meth:`plsync.Journal.usage`."""

    by: Grouping
    groups: dict[str, GroupUsage]
    """By day: the oldest day first. Else the group with the most calls first."""
    total: GroupUsage
    """All calls, each once. A call with two tags is in two groups."""

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able. Each group has its name under ``model``, ``day``, ``tag`` or ``thread``."""
        groups = [{self.by: name, **usage.as_dict()} for name, usage in self.groups.items()]
        return {"by": self.by, "groups": groups, "total": self.total.as_dict()}


def summed(found: Iterable[Measure], by: Grouping) -> UsageReport:
    """The sums of measures whose keys are groups of this kind."""
    groups: dict[str, GroupUsage] = {}
    total = GroupUsage()
    for measure in found:
        total.add(measure)
        for key in measure.keys:
            usage = groups.get(key)
            if usage is None:
                name = key if len(groups) < _MOST_GROUPS else OTHERS
                usage = groups.setdefault(name, GroupUsage())
            usage.add(measure)
    order: Callable[[str], Any] = (lambda name: name) if by == "day" else (lambda name: (-groups[name].calls, name))
    return UsageReport(by, {name: groups[name] for name in sorted(groups, key=order)}, total)


def measures(records: Iterable[Record], by: Grouping) -> Iterator[Measure]:
    """The measure of each record, whose parsed content is dropped then.

    Raises:
        ValueError: there is no such grouping.
    """
    if by not in GROUPINGS:
        raise ValueError(f"{by!r} is not a grouping: use {', '.join(GROUPINGS)}")
    return _measures(records, by, _KEYS[by])


def _measures(records: Iterable[Record], by: Grouping, keys: Callable[[Record], tuple[str, ...]]) -> Iterator[Measure]:
    nothing = (_NONE[by],)
    for record in records:
        is_cached = record.cached
        usage = None if is_cached else record.usage
        yield Measure(
            keys(record) or nothing,
            words.result(record) == "error",
            is_cached,
            None if usage is None else (usage["input_tokens"], usage["output_tokens"]),
            record.duration_ns,
        )
        record.drop_parsed()


def _day(record: Record) -> tuple[str, ...]:
    # Local time, as people read dates elsewhere.
    return (datetime.fromtimestamp(record.started_ns // 1_000_000_000).date().isoformat(),)


def _optional(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)


_KEYS: Final[Mapping[Grouping, Callable[[Record], tuple[str, ...]]]] = {
    "model": lambda record: _optional(record.model),
    "day": _day,
    "tag": lambda record: tuple(record.tags),
    "thread": lambda record: _optional(thread_of(record.metadata)),
}
