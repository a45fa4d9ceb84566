"""Which records are wanted: as the store is asked, and as a single row is tested."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, TypedDict
from uuid import UUID

import orjson

from plsync._common.clock import ms_from_datetime
from plsync.journal.events import facts
from plsync.journal.record import STATES, STATUSES, Record, State, Status

if TYPE_CHECKING:
    from plsync._common.native import Row

__all__ = ["Filters", "Wanted"]

_LABEL_MAX: Final = 255


class Filters(TypedDict, total=False):
    """The filters of ``Journal.records()`` and ``Journal.follow()``; a record must pass all that are given."""

    tag: str | Iterable[str]
    """A tag, or several that must all be there (LangChain's or ``pl_tags``)."""
    model: str | None
    """A model's whole name; of a model file, its file name."""
    state: State | Iterable[State]
    """A sync state, or several of which one must hold."""
    status: Status | Iterable[Status]
    """How the call ended; likewise."""
    since: datetime | None
    """Earliest start, inclusive; a datetime with a time zone."""
    until: datetime | None
    """Latest start, exclusive; likewise."""
    text: str | None
    """Something the request or the answer contains; case is ignored for ASCII letters."""
    run_id: str | UUID | None
    """LangChain's run id."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Filters, checked and in the store's terms."""

    labels: tuple[tuple[str, bytes], ...]
    states: tuple[int, ...] | None
    ended: tuple[int, ...] | None
    since: int | None
    until: int | None
    text: str | None

    @classmethod
    def of(cls, filters: Filters) -> Wanted:
        """Checks them.

        Raises:
            ValueError: no time zone, an unknown state or status, a run id that is no UUID, half a character.
            TypeError: a filter there is not.
        """
        for name in filters.keys() - Filters.__annotations__.keys():
            raise TypeError(f"no filter is called {name!r}: there are {', '.join(Filters.__annotations__)}")
        labels = [("t", _label(tag)) for tag in _several(filters.get("tag", ()))]
        if model := filters.get("model"):
            labels.append(("m", _label(facts.short_model(model))))
        if (run_id := filters.get("run_id")) is not None:
            labels.append(("r", UUID(str(run_id)).bytes))
        return cls(
            labels=tuple(labels),
            states=_numbers(STATES, filters.get("state", ()), "state"),
            ended=_numbers(STATUSES, filters.get("status", ()), "status"),
            since=_milliseconds(filters.get("since")),
            until=_milliseconds(filters.get("until")),
            text=_text(filters.get("text")),
        )

    def query(self) -> dict[str, Any]:
        """Arguments for ``Store.query``."""
        return {name: getattr(self, name) for name in ("labels", "states", "ended", "since", "until", "text")}

    def takes(self, row: Row) -> bool:
        """Whether one row passes, by the rules the store follows."""
        if self.states is not None and row.state not in self.states:
            return False
        if self.ended is not None and row.ended not in self.ended:
            return False
        at = int.from_bytes(row.id[:6], "big")
        if at < (self.since or 0) or (self.until is not None and at >= self.until):
            return False
        if self.text is not None and not any(_holds(body, self.text) for body in (row.start, row.end)):
            return False
        return not self.labels or set(self.labels) <= _labels(Record(row))


def _holds(body: bytes | None, text: str) -> bool:
    # Bodies are searched as they are stored, and there a quote or a newline is escaped.
    return body is not None and orjson.dumps(text)[1:-1].lower() in body.lower()


def _labels(record: Record) -> set[tuple[str, bytes]]:
    labels = {("t", _label(tag)) for tag in record.tags}
    # Only what the request named is a label: the answer and the class are looked at for want of better.
    if model := facts.model(record.metadata, record.params):
        labels.add(("m", _label(facts.short_model(model))))
    if record.run_id:
        labels.add(("r", UUID(record.run_id).bytes))
    return labels


def _several(value: str | Iterable[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _label(value: str) -> bytes:
    # The store cuts labels at this length.
    return value.encode("utf-8", "surrogatepass")[:_LABEL_MAX]


def _numbers(names: Sequence[str], wanted: str | Iterable[str], what: str) -> tuple[int, ...] | None:
    chosen = _several(wanted)
    for name in chosen:
        if name not in names:
            raise ValueError(f"{name!r} is not a {what}: there are {', '.join(dict.fromkeys(names))}")
    return tuple(number for number, name in enumerate(names) if name in chosen) or None


def _text(value: str | None) -> str | None:
    try:
        (value or "").encode()
    except UnicodeEncodeError:
        raise ValueError(f"{value!r} is no text that can be looked for: it has half a character") from None
    return value or None


def _milliseconds(at: datetime | None) -> int | None:
    # A record id cannot hold a time before 1970, and the store accepts none.
    return None if at is None else max(0, ms_from_datetime(at))
