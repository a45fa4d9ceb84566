"""The filters of a request to the API, as the journal applies them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Final
from uuid import UUID

from starlette.datastructures import QueryParams

from plsync.journal import words
from plsync.journal.conditions import Metadata
from plsync.journal.events.facts import short_model
from plsync.journal.filters import Filters
from plsync.journal.record import Record
from plsync.ui.answers import ApiError

__all__ = ["FILTERS", "Selection", "moment"]

Accept = Callable[[Record], bool]

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
class Selection:
    """The records that a request chooses."""

    filters: Filters
    """The filters of the journal."""
    conditions: Mapping[str, Accept] = field(default_factory=dict)
    """Further conditions by their names, which need the content of a record."""
    ids: tuple[str, ...] | None = None
    """Only these records, in this order."""
    request_id: int | None = None
    digits: str | None = None
    """Hex digits that begin or end the id of a record, or are a run id."""

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
        conditions: dict[str, Accept] = {}
        _add_words(filters, values)
        _add_labels(filters, values)
        _add_times(filters, values)
        _add_conditions(conditions, values)
        selection = {"request_id": None, "digits": None}
        for text in values.get("q", ())[:1]:
            selection |= _searched(text.strip(), filters)
        ids = [one for value in values.get("ids", ()) for one in value.split(",") if one]
        if len(ids) > _MOST_IDS:
            raise ApiError(400, "bad_request", f"choose at most {_MOST_IDS} ids")
        return cls(filters, conditions, tuple(map(_uuid, ids)) if ids else None, **selection)  # type: ignore[arg-type]

    @property
    def searches(self) -> bool:
        """Whether the content of records is searched."""
        return "text" in self.filters

    def accepts(self, record: Record) -> bool:
        """Whether a record meets the further conditions."""
        return all(condition(record) for condition in self.conditions.values())


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
    if len(models := values.get("model", [])) == 1:
        filters["model"] = models[0]
    for name in ("thread",):
        if found := values.get(name):
            filters[name] = found[0]
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


def _add_conditions(conditions: dict[str, Accept], values: Mapping[str, list[str]]) -> None:
    kinds: dict[str, Callable[[Record], set[str]]] = {
        "model": lambda record: {short_model(record.model or "")},
        "provider": lambda record: {record.provider or ""},
        "name": lambda record: {record.name or ""},
        "tag": lambda record: set(record.tags),
        "status_code": lambda record: {str(record.error["status_code"])} if record.error else set(),
        "error": lambda record: {record.error["type"]} if record.error else set(),
    }
    for name, read in kinds.items():
        chosen, excluded = values.get(name, []), values.get(f"not.{name}", [])
        if name == "tag" or (name == "model" and len(chosen) == 1):
            chosen = []
        if chosen:
            conditions[name] = _has_any(read, frozenset(map(short_model, chosen) if name == "model" else chosen))
        if excluded:
            conditions[f"not.{name}"] = _has_no(read, frozenset(excluded))
    if root := values.get("root"):
        conditions["root"] = _of_root(_uuid(root[0]))
    for number, pair in enumerate(values.get("not.meta", [])):
        conditions[f"not.meta.{number}"] = _lacks(Metadata(*_pair(pair)))


def _has_any(read: Callable[[Record], set[str]], chosen: frozenset[str]) -> Accept:
    return lambda record: not chosen.isdisjoint(read(record))


def _has_no(read: Callable[[Record], set[str]], excluded: frozenset[str]) -> Accept:
    return lambda record: excluded.isdisjoint(read(record))


def _of_root(root: str) -> Accept:
    return lambda record: record.root_id == root


def _lacks(pair: Metadata) -> Accept:
    return lambda record: not pair.passes(record)


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
