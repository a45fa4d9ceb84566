"""Reads the records that a selection chooses: pages, counts, facets and charts, each within a budget of time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Final
from uuid import UUID

from plsync.errors import AmbiguousId, RecordNotFound
from plsync.journal import words
from plsync.journal.events.facts import short_model
from plsync.journal.filters import Filters, Query
from plsync.journal.journal import Journal
from plsync.journal.pages import is_last
from plsync.journal.plan import Plan
from plsync.journal.record import Record
from plsync.ui.answers import ApiError
from plsync.ui.selection import Selection

__all__ = ["BUDGET", "Page", "Queries"]

BUDGET: Final = 0.2
"""Seconds that a query may take before it returns a part."""
_CHUNK: Final = 200
_MOST_MATCHES: Final = 50
_WHOLE: Final = 32
_FACETS: Final = ("result", "delivery", "model", "tag", "provider", "name")
_MOST_VALUES: Final = 100
_MOST_KEYS: Final = 200


@dataclass(frozen=True, slots=True)
class Page:
    """A page of records."""

    records: list[Record]
    cursor: str | None
    """Continues behind this page; None at the end."""
    is_done: bool
    """Whether the page is full or the last one. Else the budget ended before."""
    searched: int = 0
    total: int | None = None


class Queries:
    """The queries of the page over one journal."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def page(
        self,
        selection: Selection,
        *,
        limit: int = 50,
        cursor: str | None = None,
        budget: float = BUDGET,
        oldest_first: bool = False,
    ) -> Page:
        """A page in the order of the starts.

        Raises:
            ApiError: the cursor is not one of a page.
        """
        if (named := self._named(selection)) is not None:
            return Page([record for record in named if selection.accepts(record)], None, True)
        selection = self._run_of(selection)
        deadline = time.monotonic() + budget
        found: list[Record] = []
        last, searched = cursor, 0
        for record in self._after(selection, cursor, oldest_first):
            searched += 1
            last = record.id
            if selection.accepts(record):
                found.append(record)
                if len(found) == limit:
                    return Page(found, last, True, searched)
            if searched % 20 == 0 and time.monotonic() > deadline:
                return Page(found, last, False, searched)
        return Page(found, None, True, searched)

    def count(self, selection: Selection) -> tuple[int, bool]:
        """The number of records, and whether it is exact."""
        if (named := self._named(selection)) is not None:
            return sum(map(selection.accepts, named)), True
        selection = self._run_of(selection)
        if not selection.conditions and not selection.searches:
            counted = self._journal.count(at_most=None, **selection.filters)
            return counted or 0, True
        number = 0
        for record, is_cut in self._within(selection):
            number += record is not None
            if is_cut:
                return number, False
        return number, True

    def facets(self, selection: Selection, all_but: Callable[[str], Selection]) -> dict[str, Any]:
        """How many records have each value of a kind, without the filters of that kind.

        Args:
            selection: the whole selection.
            all_but: the selection without the filters of one kind.
        """
        counters: dict[str, Counter[str]] = {name: Counter() for name in _FACETS}
        threads: set[str] = set()
        keys: dict[str, None] = {}
        is_exact = True
        selections = {name: all_but(name) for name in _FACETS}
        for names, chosen in _distinct(selection, selections):
            for record, is_cut in self._within(chosen, BUDGET / 2):
                if record is not None:
                    for name in names:
                        counters[name].update(_VALUES[name](record))
                    for key in record.metadata:
                        if len(keys) < _MOST_KEYS:
                            keys[key] = None
                    if record.metadata.get("thread_id") is not None:
                        threads.add(str(record.metadata["thread_id"]))
                is_exact = is_exact and not is_cut
        fixed = {"result": words.RESULTS, "delivery": words.DELIVERIES}
        found: dict[str, Any] = {
            name: [{"value": word, "count": counters[name][word]} for word in fixed[name]]
            if name in fixed
            else [
                {"value": value, "count": number}
                for value, number in sorted(counters[name].items(), key=lambda pair: (-pair[1], pair[0]))[:_MOST_VALUES]
            ]
            for name in _FACETS
        }
        more = {name: len(counters[name]) - _MOST_VALUES for name in _FACETS if len(counters[name]) > _MOST_VALUES}
        return found | {
            "more": more,
            "thread_count": len(threads),
            "metadata_keys": sorted(keys),
            "exact": is_exact,
        }

    def histogram(self, selection: Selection, buckets: int) -> dict[str, Any]:
        """The calls and errors over time."""
        moments: list[tuple[int, bool]] = []
        is_exact = True
        for record, is_cut in self._within(selection):
            if record is not None:
                moments.append((record.started_ns // 1_000_000, words.result(record) == "error"))
            is_exact = is_exact and not is_cut
        since, until = selection.filters.get("since"), selection.filters.get("until")
        begin = int(since.timestamp() * 1000) if since else min((at for at, _ in moments), default=0)
        end = int(until.timestamp() * 1000) if until else max((at for at, _ in moments), default=begin) + 1
        width = max(1, -(-(end - begin) // buckets))
        counted = [[0, 0] for _ in range(buckets)]
        for at, is_error in moments:
            bucket = counted[min(max(0, (at - begin) // width), buckets - 1)]
            bucket[0] += 1
            bucket[1] += is_error
        return {
            "from_ms": begin,
            "to_ms": begin + width * buckets,
            "bucket_ms": width,
            "buckets": [
                {"start_ms": begin + number * width, "calls": calls, "errors": errors}
                for number, (calls, errors) in enumerate(counted)
            ],
            "exact": is_exact,
        }

    def find(self, key: str) -> Record:
        """The record with an id, as for ``Journal.get``; a trace id is the id of its root.

        Raises:
            RecordNotFound, AmbiguousId: as ``Journal.get``.
        """
        return self._journal.get(key)

    def peek(self, record_id: str) -> Record | None:
        """The record with this whole id; None if there is none. Ingests nothing."""
        try:
            return self._journal.peek(record_id, runs=True)
        except ValueError:
            return None

    def ingested(self, after: int, selection: Selection, limit: int) -> list[Record]:
        """At most ``limit`` records of a selection with a higher ``seq``, in the order of ingest."""
        named = self._named(selection)
        if named is None:
            found = self._journal.ingested(after, **self._run_of(selection).filters)
            return list(islice((record for record in found if selection.accepts(record)), limit))
        return [record for record in named if record.seq > after and selection.accepts(record)][:limit]

    def everything(self, selection: Selection) -> Iterator[Record]:
        """The records of a selection, newest first, without a budget."""
        named = self._named(selection)
        found = iter(named) if named is not None else self._after(self._run_of(selection), None)
        return (record for record in found if selection.accepts(record))

    def newest_first(self, selection: Selection, cursor: str | None) -> Iterator[Record]:
        """The records of a selection behind a cursor, without a budget."""
        return (record for record in self._after(selection, cursor) if selection.accepts(record))

    # --- parts ---

    def _named(self, selection: Selection) -> list[Record] | None:
        """The records that the selection names by ids; None if it names none."""
        filters: Filters = {**selection.filters, "runs": True}
        if selection.ids is not None:
            found = [self._journal.peek(one, **filters) for one in selection.ids]
        elif selection.request_id is not None:
            found = self._of_key(str(selection.request_id), filters)
        elif selection.digits is not None:
            found = self._of_digits(selection.digits, filters)
            if not found:
                return None
        else:
            return None
        return [record for record in found if record is not None]

    def _of_key(self, key: str, filters: Filters) -> list[Record | None]:
        try:
            candidates = [self._journal.get(f"#{key}")]
        except AmbiguousId as error:
            candidates = list(error.candidates.values())
        except RecordNotFound:
            return []
        return [self._journal.peek(record.id, **filters) for record in candidates]

    def _of_digits(self, digits: str, filters: Filters) -> list[Record | None]:
        store = self._journal._store
        ids = store.ids_starting_with(digits, _MOST_MATCHES) or store.ids_ending_with(digits, _MOST_MATCHES)
        return [self._journal.peek(str(UUID(bytes=one)), **filters) for one in ids]

    def _run_of(self, selection: Selection) -> Selection:
        """Digits that are no record's are a run id, or else a text."""
        if selection.digits is None:
            return selection
        if len(selection.digits) == _WHOLE and "run" not in selection.filters:
            run: Filters = {**selection.filters, "run": selection.digits}
            if next(self._journal.records(limit=1, **run), None) is not None:
                return replace(selection, filters=run, digits=None)
        return replace(selection, filters={**selection.filters, "text": selection.digits}, digits=None)

    def _after(self, selection: Selection, cursor: str | None, oldest_first: bool = False) -> Iterator[Record]:
        if cursor is None:
            yield from self._journal.records(oldest_first=oldest_first, **selection.filters)
            return
        try:
            behind = UUID(cursor).bytes
        except ValueError:
            raise ApiError(400, "bad_request", "the cursor is not one of a page") from None
        query = Query.from_filters(selection.filters)
        store = self._journal._store
        plan = Plan.of(query, store)
        arguments = dict(plan.arguments)
        while True:
            arguments["after" if oldest_first else "before"] = behind
            rows = store.query(**arguments, oldest_first=oldest_first, limit=_CHUNK)
            yield from (Record(row) for row in rows if plan.passes(row))
            if is_last(rows, _CHUNK):
                return
            behind = rows[-1].id

    def _within(self, selection: Selection, budget: float = BUDGET) -> Iterator[tuple[Record | None, bool]]:
        """The records of a selection, and at the end whether the budget ended before."""
        if (named := self._named(selection)) is not None:
            yield from ((record, False) for record in named if selection.accepts(record))
            return
        deadline = time.monotonic() + budget
        for number, record in enumerate(self._after(self._run_of(selection), None)):
            if selection.accepts(record):
                yield record, False
                record.drop_parsed()
            if number % 20 == 19 and time.monotonic() > deadline:
                yield None, True
                return


def _distinct(selection: Selection, selections: dict[str, Selection]) -> Iterator[tuple[list[str], Selection]]:
    """Each different selection once, with the names of its kinds."""
    same = [name for name, chosen in selections.items() if _is_same(chosen, selection)]
    if same:
        yield same, selection
    for name, chosen in selections.items():
        if name not in same:
            yield [name], chosen


def _is_same(one: Selection, other: Selection) -> bool:
    return one.filters == other.filters and one.conditions.keys() == other.conditions.keys()


_VALUES: Final[dict[str, Callable[[Record], list[str]]]] = {
    "result": lambda record: [words.result(record)],
    "delivery": lambda record: [words.delivery(record)],
    "model": lambda record: [short_model(record.model)] if record.model else [],
    "tag": lambda record: record.tags,
    "provider": lambda record: [record.provider] if record.provider else [],
    "name": lambda record: [record.name] if record.name else [],
}
