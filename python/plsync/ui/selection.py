"""The filters of a request to the API, as the journal applies them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any, Final, cast
from uuid import UUID

from starlette.datastructures import QueryParams

from plsync.journal import words
from plsync.journal.conditions import Condition, Metadata
from plsync.journal.events.facts import labels, short_model
from plsync.journal.filters import Filters
from plsync.journal.record import Record
from plsync.ui.answers import ApiError

__all__ = ["FILTERS", "Selection", "Values", "models_of", "moment"]

FILTERS: Final = frozenset(
    {
        *("q", "result", "delivery", "model", "provider", "name", "tag", "meta", "thread", "run", "root", "since"),
        *("until", "slower", "status_code", "error", "ids"),
        *(f"not.{name}" for name in ("result", "delivery", "model", "tag", "provider", "name", "meta")),
    }
)
"""The names of the parameters that choose records."""

_AGO: Final = re.compile(r"(\d{1,6})([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_REQUEST: Final = re.compile(r"#(\d{1,19})", re.ASCII)
_ID: Final = re.compile(r"[0-9a-f]{8,32}", re.ASCII)
_WHOLE: Final = 32
_LATEST: Final = 8_640_000_000_000_000
_MOST_IDS: Final = 1000


@dataclass(frozen=True, slots=True)
class Values:
    """A condition on values of a record that the store has no index of."""

    read: Callable[[Record], set[str]]
    chosen: frozenset[str] | None
    """Values of which a record must have one; None for any record."""
    excluded: frozenset[str] = frozenset()
    """Values that it must not have."""

    def passes(self, record: Record) -> bool:
        """Whether the record meets it."""
        found = self.read(record)
        return self.excluded.isdisjoint(found) and (self.chosen is None or not self.chosen.isdisjoint(found))


@dataclass(frozen=True, slots=True)
class Lacks:
    """The metadata of a record do not have this entry."""

    pair: Metadata

    def passes(self, record: Record) -> bool:
        """Whether the record meets it."""
        return not self.pair.passes(record)


@dataclass(frozen=True, slots=True)
class Selection:
    """The records that a request chooses."""

    filters: Filters
    """The filters of the journal."""
    models: tuple[str, ...] = ()
    """Models of which a record must have one; empty for any record."""
    root: str | None = None
    """The record id of the root of a tree."""
    conditions: tuple[Condition, ...] = ()
    """Further conditions, which need the content of a record."""
    ids: tuple[str, ...] | None = None
    """Only these records, in this order."""
    request_id: int | None = None
    digits: str | None = None
    """Hex digits that begin or end the id of a record, or are a run id."""
    used: frozenset[str] = frozenset()
    """The parameters that have values."""

    @classmethod
    def of(cls, query: QueryParams, *, without: Iterable[str] = ()) -> Selection:
        """The selection of a query string.

        Args:
            query: the parameters of the request.
            without: names of filters to leave out.

        Raises:
            ApiError: a value that no record can have.
        """
        left_out = frozenset(without)
        values = {name: [value for value in query.getlist(name) if value] for name in FILTERS - left_out}
        filters: dict[str, Any] = {}
        _add_words(filters, values)
        _add_labels(filters, values)
        _add_times(filters, values)
        named: dict[str, Any] = {}
        for text in values.get("q", ())[:1]:
            named = _searched(text.strip(), filters)
        ids = [one for value in values.get("ids", ()) for one in value.split(",") if one]
        if len(ids) > _MOST_IDS:
            raise ApiError(400, "bad_request", f"choose at most {_MOST_IDS} ids")
        return cls(
            cast("Filters", filters),
            models=tuple(values.get("model", ())),
            root=_uuid(values["root"][0]) if values.get("root") else None,
            conditions=tuple(_conditions(values)),
            ids=tuple(map(_uuid, ids)) if ids else None,
            used=frozenset(name for name, given in values.items() if given),
            **named,
        )

    @property
    def searches(self) -> bool:
        """Whether the content of records is searched."""
        return "text" in self.filters

    def is_like(self, other: Selection) -> bool:
        """Whether a selection of the same request has the same filters."""
        return self.used == other.used

    def accepts(self, record: Record) -> bool:
        """Whether a record meets the conditions that are not among the filters of the journal."""
        if self.models and not {short_model(model) for model in self.models} & models_of(record):
            return False
        if self.root is not None and record.root_id != self.root:
            return False
        return all(condition.passes(record) for condition in self.conditions)


def moment(text: str) -> datetime:
    """A time: ms since the epoch, ISO 8601, or an age such as ``2h``.

    Raises:
        ApiError: the text is neither.
    """
    if found := _AGO.fullmatch(text):
        return datetime.now(timezone.utc) - timedelta(**{_UNITS[found[2]]: int(found[1])})
    try:
        if text.lstrip("-").isdecimal():
            ms = max(0, min(int(text), _LATEST // 10))
            return datetime.fromtimestamp(ms / 1000, timezone.utc)
        at = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text.replace(" ", "+")))
        return at if at.tzinfo else at.astimezone()
    except (ValueError, OverflowError, OSError):
        raise ApiError(400, "bad_request", f"{text[:40]!r} is no time: send ms since the epoch or ISO 8601") from None


def _add_words(filters: dict[str, Any], values: Mapping[str, list[str]]) -> None:
    for name, everything in (("result", words.RESULTS), ("delivery", words.DELIVERIES)):
        chosen, excluded = values.get(name, []), set(values.get(f"not.{name}", ()))
        for word in (*chosen, *excluded):
            if word not in everything:
                raise ApiError(400, "bad_request", f"{word[:40]!r} is no {name}: choose from {', '.join(everything)}")
        if excluded:
            chosen = [word for word in chosen or everything if word not in excluded]
            # No record has no word.
            filters.setdefault("until", datetime.fromtimestamp(0, timezone.utc)) if not chosen else None
        if chosen:
            filters[name] = chosen


def _add_labels(filters: dict[str, Any], values: Mapping[str, list[str]]) -> None:
    if tags := values.get("tag"):
        filters["tag"] = tags
    if found := values.get("thread"):
        filters["thread"] = found[0]
    if found := values.get("run"):
        filters["run"] = _uuid(found[0])
    if pairs := values.get("meta"):
        filters["metadata"] = dict(map(_pair, pairs))
    if found := values.get("slower"):
        try:
            filters["slower"] = timedelta(milliseconds=float(found[0]))
        except (ValueError, OverflowError):
            raise ApiError(400, "bad_request", "slower is a number of milliseconds") from None


def _add_times(filters: dict[str, Any], values: Mapping[str, list[str]]) -> None:
    for name in ("since", "until"):
        if (found := values.get(name)) and name not in filters:
            filters[name] = moment(found[0])


def _conditions(values: Mapping[str, list[str]]) -> Iterator[Condition]:
    for name, read in _READ.items():
        # The store has an index of tags and models.
        chosen = [] if name in ("tag", "model") else values.get(name, [])
        excluded = values.get(f"not.{name}", [])
        if chosen or excluded:
            yield Values(read, frozenset(chosen) if chosen else None, frozenset(excluded))
    for pair in values.get("not.meta", ()):
        yield Lacks(Metadata(*_pair(pair)))


def models_of(record: Record) -> set[str]:
    """The names of the model: in the request, and the one that the page shows."""
    return {short_model(name) for name in (*labels(record.metadata, record.params), record.model or "")}


_READ: Final[dict[str, Callable[[Record], set[str]]]] = {
    "model": models_of,
    "provider": lambda record: {record.provider or ""},
    "name": lambda record: {record.name or ""},
    "tag": lambda record: set(record.tags),
    "status_code": lambda record: {str(record.error["status_code"])} if record.error else set(),
    "error": lambda record: {record.error["type"]} if record.error else set(),
}


def _searched(text: str, filters: dict[str, Any]) -> dict[str, Any]:
    """The subject of the box of the page: a request id, an id, or else a text."""
    if found := _REQUEST.fullmatch(text):
        return {"request_id": int(found[1])}
    digits = text.replace("-", "").lower()
    if _ID.fullmatch(digits) and (len(digits) == _WHOLE or not digits.isdecimal()):
        return {"digits": digits}
    if text:
        filters["text"] = text
    return {}


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise ApiError(400, "bad_request", f"{text[:40]!r} is no whole id") from None


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise ApiError(400, "bad_request", f"{text[:40]!r} is no KEY=VALUE")
    return key, value
