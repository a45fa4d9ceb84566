"""Filters of records, as the user writes them and as the store applies them."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypedDict
from uuid import UUID

from plsync._common.clock import ms_from_datetime
from plsync._common.native import FLAG_RUN, TextSearch
from plsync.journal import words
from plsync.journal.conditions import (
    Condition,
    Delivered,
    Metadata,
    ModelPattern,
    Scalar,
    Slower,
    Thread,
    is_pattern,
)
from plsync.journal.events import facts
from plsync.journal.record import STATES, STATUSES, Record, State, Status

if TYPE_CHECKING:
    from plsync._common.native import Row, Store

__all__ = ["Filters", "Query", "comparable", "label_value", "model_names", "names_model"]

Label = tuple[str, bytes]

_LABEL_MAX: Final = 255
# A pattern is compared with at most this many names.
_MOST_MODELS: Final = 10_000
# The store compares durations as signed 64-bit numbers of nanoseconds.
_LONGEST: Final = 2**63 - 1


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
    """The whole name of the model, or a pattern of a shell: ``gpt-4*``. For a model file: its file name."""
    state: State | Iterable[State]
    """The state of the record, or several of which it must have one."""
    status: Status | Iterable[Status]
    """The status of the call, or several of which it must have one."""
    delivery: str | Iterable[str]
    """Where the record is, in the words of ``plsync list``, or several: ``waiting``, ``sending``, ``sent``,
    ``unclear``, ``refused``, ``held``, ``dropped``. A state is accepted, too."""
    result: str | Iterable[str]
    """How the call went, in the words of ``plsync list``, or several: ``ok``, ``error``, ``cancelled``,
    ``cut short``, ``interrupted``, ``running``. A status is accepted, too."""
    since: datetime | None
    """The earliest start, inclusive: a datetime with a time zone."""
    until: datetime | None
    """The latest start, exclusive: a datetime with a time zone."""
    text: str | None
    """A text that the request or the response contains, in any case of its letters."""
    run_id: str | UUID | None
    """LangChain's run id of the call."""
    run: str | UUID | None
    """LangChain's run id of the call, or of the run that made it."""
    thread: str | None
    """The id of the conversation: ``thread_id``, ``session_id`` or ``conversation_id`` in the metadata."""
    metadata: Mapping[str, Scalar] | None
    """Values in the metadata, all of which must be there. A number and its text are the same value."""
    runs: bool
    """Also the runs that are not calls: chains, prompts, parsers, tools and retrievers."""
    slower: timedelta | None
    """The duration that the call exceeds. A call without a known duration does not pass."""


@dataclass(frozen=True, slots=True)
class Query:
    """Checked filters, in the store's terms."""

    labels: tuple[Label, ...]
    any_labels: tuple[tuple[Label, ...], ...]
    """Groups of labels. A record must have one of each group."""
    states: tuple[int, ...] | None
    ended: tuple[int, ...] | None
    since: int | None
    until: int | None
    text: str | None
    model: ModelPattern | None = None
    thread: Thread | None = None
    metadata: tuple[Metadata, ...] = ()
    slower: Slower | None = None
    delivered: Delivered | None = None
    runs: bool = False

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
        labels = [("t", label_value(tag)) for tag in _several(filters.get("tag", ()))]
        model = filters.get("model") or ""
        if model and not is_pattern(model):
            labels.append(("m", label_value(facts.short_model(model))))
        if (run_id := filters.get("run_id")) is not None:
            labels.append(("r", UUID(str(run_id)).bytes))
        run = filters.get("run")
        group = () if run is None else (("r", UUID(str(run)).bytes), ("p", UUID(str(run)).bytes))
        delivered = words.states_of(_several(filters.get("delivery", ())))
        states = _both(
            _numbers(STATES, filters.get("state", ()), "state"),
            tuple(sorted({STATES.index(state) for state, _ in delivered or ()})) or None,
        )
        ended = _both(
            _numbers(STATUSES, filters.get("status", ()), "status"), words.ends_of(_several(filters.get("result", ())))
        )
        thread, slower = filters.get("thread"), filters.get("slower")
        return cls(
            labels=tuple(labels),
            any_labels=(group,) if group else (),
            states=states,
            ended=ended,
            since=_milliseconds(filters.get("since")),
            # No record has a time before 1970.
            until=0 if () in (states, ended) else _milliseconds(filters.get("until")),
            text=_text(filters.get("text")),
            model=ModelPattern(model) if is_pattern(model) else None,
            thread=None if thread is None else Thread(_text(thread) or ""),
            metadata=tuple(
                Metadata.of(_text(key) or "", _text(value) or "" if isinstance(value, str) else value)
                for key, value in (filters.get("metadata") or {}).items()
            ),
            slower=None if slower is None else Slower(min(slower // timedelta(microseconds=1) * 1000, _LONGEST)),
            delivered=Delivered(frozenset(delivered)) if delivered else None,
            runs=bool(filters.get("runs")),
        )

    @property
    def conditions(self) -> tuple[Condition, ...]:
        """The conditions that need more of a record than its row and its labels."""
        single = (self.thread, self.slower, self.delivered)
        return (*self.metadata, *(condition for condition in single if condition is not None))

    def passes(self, row: Row) -> bool:
        """Whether a row that the store returned passes."""
        return not self.conditions or all(condition.passes(Record(row)) for condition in self.conditions)

    def matches(self, row: Row) -> bool:
        """Whether a single row passes, by the rules that the store applies."""
        if row.flags & FLAG_RUN and not self.runs:
            return False
        if self.states is not None and row.state not in self.states:
            return False
        if self.ended is not None and row.ended not in self.ended:
            return False
        at = int.from_bytes(row.id[:6], "big")
        if at < (self.since or 0) or (self.until is not None and at >= self.until):
            return False
        return self._has_text(row) and self._has_labels(Record(row)) and self.passes(row)

    def _has_text(self, row: Row) -> bool:
        if self.text is None:
            return True
        search = _text_search(self.text)
        return any(body is not None and search.is_in(body) for body in (row.start, row.end))

    def _has_labels(self, record: Record) -> bool:
        if self.model is not None and not self.model.passes(record):
            return False
        if not self.labels and not self.any_labels:
            return True
        labels = _labels(record)
        return set(self.labels) <= labels and all(labels.intersection(group) for group in self.any_labels)


@functools.lru_cache(maxsize=4)
def _text_search(text: str) -> TextSearch:
    return TextSearch(text)


def model_names(store: Store) -> list[str]:
    """The names of models in requests, each once."""
    return sorted(value.decode("utf-8", "replace") for value in store.label_values("m", _MOST_MODELS))


def _labels(record: Record) -> set[tuple[str, bytes]]:
    labels = {("t", label_value(tag)) for tag in record.tags}
    # Only the request's own names of the model are labels. `Record.model` may come from the response or the class.
    for model in facts.labels(record.metadata, record.params):
        labels.add(("m", label_value(facts.short_model(model))))
    if record.root_id:
        labels.add(("R", UUID(record.root_id).bytes))
    if record.run_id:
        labels.add(("r", UUID(record.run_id).bytes))
    if record.parent_run_id:
        labels.add(("p", UUID(record.parent_run_id).bytes))
    return labels


def names_model(filter_value: str, name: str) -> bool:
    """Whether a value of the filter ``model`` names a model of :func:`model_names`."""
    if is_pattern(filter_value):
        return ModelPattern(filter_value).matches(name)
    return facts.short_model(filter_value) == name


def comparable(filters: Mapping[str, Any]) -> dict[str, Any]:
    """Filters as JSON that is the same for the same choice."""
    found: dict[str, Any] = {}
    for name, value in sorted(filters.items()):
        if isinstance(value, timedelta):
            found[name] = value.total_seconds()
        elif isinstance(value, list | tuple | set):
            found[name] = sorted(map(str, value))
        else:
            found[name] = value if isinstance(value, str | dict) else str(value)
    return found


def _several(value: str | Iterable[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def label_value(value: str) -> bytes:
    """The value of a label in the store, which cuts it at 255 bytes."""
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
