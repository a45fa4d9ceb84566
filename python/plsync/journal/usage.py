"""Sums of calls: numbers, errors, tokens and durations, by model, day, tag or thread.

A :class:`Measure` is all that the sums need of a call. :func:`measures` reads it from a record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from plsync.journal import words
from plsync.journal.conditions import thread_of
from plsync.journal.durations import Durations, Percentiles
from plsync.journal.events.usage import Usage
from plsync.journal.record import Record

if TYPE_CHECKING:
    from plsync._common.native import Store

__all__ = [
    "GROUPINGS",
    "GroupUsage",
    "Grouping",
    "Measure",
    "UsageReport",
    "measures",
    "stored_usage",
    "summed",
]

Grouping = Literal["model", "day", "hour", "tag", "thread"]
GROUPINGS: Final[tuple[Grouping, ...]] = get_args(Grouping)

# All offsets from UTC are multiples of this many ms.
_SPAN_MS: Final = 900_000
# Further groups are summed as one, so that a journal with a thread per call needs no memory for each.
_MOST_GROUPS: Final = 100_000
OTHERS: Final = "(others)"
_NONE: Final[dict[Grouping, str]] = {
    "model": "(unknown)",
    "day": "",
    "hour": "",
    "tag": "(no tag)",
    "thread": "(no thread)",
}


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
    cached_tokens: int = 0
    first_token_ns: int | None = None


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
    cached_tokens: int = 0
    """Input tokens that providers read from their caches."""
    durations: Durations | Percentiles = field(default_factory=Durations)
    first_tokens: Durations | Percentiles = field(default_factory=Durations)
    """The times from the start to the first token, of the calls that streamed."""

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
            self.cached_tokens += measure.cached_tokens
        for durations, ns in ((self.durations, measure.duration_ns), (self.first_tokens, measure.first_token_ns)):
            if ns is not None and isinstance(durations, Durations):
                durations.add(ns)

    def as_dict(self) -> dict[str, Any]:
        """The sums by name, JSON-able; the percentiles of the durations in ns, or None."""
        return {
            "calls": self.calls,
            "errors": self.errors,
            "cached": self.cached,
            "without_tokens": self.without_tokens,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "cached_tokens": self.cached_tokens,
            "p50_ns": self.durations.percentile(50),
            "p95_ns": self.durations.percentile(95),
            "first_token_p50_ns": self.first_tokens.percentile(50),
            "first_token_p95_ns": self.first_tokens.percentile(95),
        }


@dataclass(frozen=True, slots=True)
class UsageReport:
    """The sums of calls by group. See :meth:`plsync.Journal.usage`."""

    by: Grouping
    groups: dict[str, GroupUsage]
    """By day and hour: the oldest first. Else the group with the most calls first."""
    total: GroupUsage
    """All calls, each once. A call with two tags is in two groups."""
    pending: int = 0
    """Calls whose digest is missing. They count as calls, without tokens and durations."""

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able. Each group has its name under the kind of the groups."""
        groups = [{self.by: name, **usage.as_dict()} for name, usage in self.groups.items()]
        return {"by": self.by, "groups": groups, "total": self.total.as_dict(), "pending": self.pending}


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
    return UsageReport(by, _sorted(groups, by), total)


def _sorted(groups: dict[str, GroupUsage], by: Grouping) -> dict[str, GroupUsage]:
    is_time = by in ("day", "hour")
    order: Callable[[str], Any] = (lambda name: name) if is_time else (lambda name: (-groups[name].calls, name))
    return {name: groups[name] for name in sorted(groups, key=order)}


def stored_usage(store: Store, arguments: Mapping[str, Any], only: list[int] | None, by: Grouping) -> UsageReport:
    """The sums that the store makes of digests.

    Args:
        store: the journal's.
        arguments: the conditions of a query.
        only: the ``seq`` of the records that may be among them; None for all.
        by: the kind of the groups.
    """
    names: list[str] = []
    moments: list[int] = []
    if by in ("day", "hour"):
        names, moments = _spans(store.occupied(_SPAN_MS, only=only, **arguments), by)
    kind = "time" if by in ("day", "hour") else by
    found, total, pending = store.usage(kind, moments=moments, only=only, **arguments)
    groups: dict[str, GroupUsage] = {}
    for key, sums in found:
        if isinstance(key, bytes):
            name = key.decode("utf-8", "replace")
        elif key is None:
            name = _NONE[by]
        elif isinstance(key, bool):
            name = OTHERS
        else:
            name = names[key]
        groups[name] = _group(sums)
    return UsageReport(by, _sorted(groups, by), _group(total), pending)


def _group(sums: dict[str, Any]) -> GroupUsage:
    durations = Percentiles(sums.pop("p50_ns"), sums.pop("p95_ns"))
    first_tokens = Percentiles(sums.pop("first_token_p50_ns"), sums.pop("first_token_p95_ns"))
    return GroupUsage(**sums, durations=durations, first_tokens=first_tokens)


def _spans(occupied: list[int], by: Grouping) -> tuple[list[str], list[int]]:
    """The local days or hours of spans of time, and the moment in ms at which each begins among these spans."""
    names: list[str] = []
    moments: list[int] = []
    behind = -1
    for span in occupied:
        at = span * _SPAN_MS
        if at < behind:
            continue
        local = datetime.fromtimestamp(at // 1000)
        name = _TIME[by](local)
        if not names or names[-1] != name:
            names.append(name)
            moments.append(at)
        if by == "hour":
            behind = at + 3_600_000 - (local.minute * 60 + local.second) * 1000
        else:
            # A day is an hour shorter or longer when the clock changes, so its last hours are looked at one by one.
            behind = at + max(0, 22 - local.hour) * 3_600_000
    return names, moments


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
            0 if usage is None else _cached(usage),
            _first_token(record),
        )
        record.drop_parsed()


def _cached(usage: Usage) -> int:
    cached = usage.get("input_token_details", {}).get("cache_read", 0)
    return cached if isinstance(cached, int) else 0


def _first_token(record: Record) -> int | None:
    first = record.plain_events()[1].get("first_token")
    return first if isinstance(first, int) else None


# Local time, as people read dates elsewhere.
_TIME: Final[Mapping[Grouping, Callable[[datetime], str]]] = {
    "day": lambda at: at.date().isoformat(),
    "hour": lambda at: f"{at:%Y-%m-%d %H}:00",
}


def _local(record: Record) -> datetime:
    return datetime.fromtimestamp(record.started_ns // 1_000_000_000)


def _optional(value: str | None) -> tuple[str, ...]:
    return () if value is None else (value,)


_KEYS: Final[Mapping[Grouping, Callable[[Record], tuple[str, ...]]]] = {
    "model": lambda record: _optional(record.model),
    "day": lambda record: (_TIME["day"](_local(record)),),
    "hour": lambda record: (_TIME["hour"](_local(record)),),
    "tag": lambda record: tuple(record.tags),
    "thread": lambda record: _optional(thread_of(record.metadata)),
}
