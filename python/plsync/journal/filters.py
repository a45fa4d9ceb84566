"""Filters of records, as the user writes them and as the store applies them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypedDict
from uuid import UUID

import orjson

from plsync._common.clock import ms_from_datetime
from plsync.journal import words
from plsync.journal.conditions import Condition, Delivered
from plsync.journal.events import facts
from plsync.journal.record import STATES, STATUSES, Record, State, Status

if TYPE_CHECKING:
    from plsync._common.native import Row

__all__ = ["Filters", "Query"]

_LABEL_MAX: Final = 255


class Filters(TypedDict, total=False):
    """The filters of ``Journal.records()`` and ``Journal.follow()``. A record must pass all of them.

    >>> from datetime import datetime, timedelta, timezone
    >>> from plsync import Journal
    >>> from plsync.journal import Filters
    >>> failed_today: Filters = {"status": "error", "since": datetime.now(timezone.utc) - timedelta(days=1)}
    >>> with Journal.open(create=True) as journal:
    ...     for record in journal.records(**failed_today):
    ...         print(record.id, record.error)
    """

    tag: str | Iterable[str]
    """A tag of the record (LangChain's or ``pl_tags``), or several that it must all have."""
    model: str | None
    """The whole name of the model. For a model file: its file name."""
    state: State | Iterable[State]
    """The state of the record, or several of which it must have one."""
    status: Status | Iterable[Status]
    """The status of the call, or several of which it must have one."""
    delivery: str | Iterable[str]
    """Where the record is, in the words of ``plsync list``, or several: ``waiting``, ``sending``, ``sent``,
    ``unclear``, ``refused``, ``held``, ``dropped``. A state is accepted, too."""
    result: str | Iterable[str]
    """How the call went, in the words of ``plsync list``, or several: ``ok``, ``error``, ``cancelled``,
    ``cut short``, ``running``. A status is accepted, too."""
    since: datetime | None
    """The earliest start, inclusive: a datetime with a time zone."""
    until: datetime | None
    """The latest start, exclusive: a datetime with a time zone."""
    text: str | None
    """A text that the request or the response contains. The case of ASCII letters is ignored."""
    run_id: str | UUID | None
    """LangChain's run id."""


@dataclass(frozen=True, slots=True)
class Query:
    """Checked filters, in the store's terms."""

    labels: tuple[tuple[str, bytes], ...]
    states: tuple[int, ...] | None
    ended: tuple[int, ...] | None
    since: int | None
    until: int | None
    text: str | None
    conditions: tuple[Condition, ...] = ()
    """The store does not check these conditions."""

    @classmethod
    def from_filters(cls, filters: Filters) -> Query:
        """Check filters, and translate them.

        Raises:
            ValueError: a datetime without time zone, an unknown state or status, an invalid run id, or a text with a
                lone surrogate.
            TypeError: an unknown filter.
        """
        for name in filters.keys() - Filters.__annotations__.keys():
            raise TypeError(f"{name!r} is not a filter: the filters are {', '.join(Filters.__annotations__)}")
        labels = [("t", _label(tag)) for tag in _several(filters.get("tag", ()))]
        if model := filters.get("model"):
            labels.append(("m", _label(facts.short_model(model))))
        if (run_id := filters.get("run_id")) is not None:
            labels.append(("r", UUID(str(run_id)).bytes))
        delivered = words.states_of(_several(filters.get("delivery", ())))
        states = _both(
            _numbers(STATES, filters.get("state", ()), "state"),
            tuple(sorted({STATES.index(state) for state, _ in delivered or ()})) or None,
        )
        ended = _both(
            _numbers(STATUSES, filters.get("status", ()), "status"), words.ends_of(_several(filters.get("result", ())))
        )
        conditions: list[Condition] = []
        if delivered and any(is_pruned is not None for _, is_pruned in delivered):
            conditions.append(Delivered(frozenset(delivered)))
        return cls(
            labels=tuple(labels),
            states=states,
            ended=ended,
            since=_milliseconds(filters.get("since")),
            # No record has a time before 1970.
            until=0 if () in (states, ended) else _milliseconds(filters.get("until")),
            text=_text(filters.get("text")),
            conditions=tuple(conditions),
        )

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments for ``Store.query``, which then returns every record that may pass."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "conditions"}

    def passes(self, row: Row) -> bool:
        """Whether a row that the store returned passes."""
        return not self.conditions or all(condition.passes(Record(row)) for condition in self.conditions)

    def matches(self, row: Row) -> bool:
        """Whether a single row passes, by the rules that the store applies."""
        if self.states is not None and row.state not in self.states:
            return False
        if self.ended is not None and row.ended not in self.ended:
            return False
        at = int.from_bytes(row.id[:6], "big")
        if at < (self.since or 0) or (self.until is not None and at >= self.until):
            return False
        if self.text is not None and not any(_contains(body, self.text) for body in (row.start, row.end)):
            return False
        return (not self.labels or set(self.labels) <= _labels(Record(row))) and self.passes(row)


def _contains(body: bytes | None, text: str) -> bool:
    # Bodies are stored as JSON, in which a quote or a newline is escaped.
    return body is not None and orjson.dumps(text)[1:-1].lower() in body.lower()


def _labels(record: Record) -> set[tuple[str, bytes]]:
    labels = {("t", _label(tag)) for tag in record.tags}
    # Only the request's own names of the model are labels. `Record.model` may come from the response or the class.
    for model in facts.labels(record.metadata, record.params):
        labels.add(("m", _label(facts.short_model(model))))
    if record.run_id:
        labels.add(("r", UUID(record.run_id).bytes))
    return labels


def _several(value: str | Iterable[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _label(value: str) -> bytes:
    # The store cuts labels at this length.
    return value.encode("utf-8", "surrogatepass")[:_LABEL_MAX]


def _numbers(names: Sequence[str], chosen: str | Iterable[str], noun: str) -> tuple[int, ...] | None:
    names_chosen = _several(chosen)
    for name in names_chosen:
        if name not in names:
            raise ValueError(f"{name!r} is not a {noun}: use {', '.join(dict.fromkeys(names))}")
    return tuple(number for number, name in enumerate(names) if name in names_chosen) or None


def _both(first: tuple[int, ...] | None, second: tuple[int, ...] | None) -> tuple[int, ...] | None:
    """The numbers in both tuples. None stands for all numbers."""
    if first is None or second is None:
        return second if first is None else first
    return tuple(number for number in first if number in second)


def _text(value: str | None) -> str | None:
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        raise ValueError(f"{value!r} contains a lone surrogate, and no stored text does: leave it out") from None
    return value or None


def _milliseconds(at: datetime | None) -> int | None:
    # A record id cannot hold a time before 1970, and the store accepts none.
    return None if at is None else max(0, ms_from_datetime(at))
