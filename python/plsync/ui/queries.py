"""Reads the records that a selection chooses, within a budget of time."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from plsync.errors import AmbiguousId, RecordNotFound
from plsync.journal.conditions import Condition
from plsync.journal.digests import DigestProgress
from plsync.journal.events.facts import short_model
from plsync.journal.filters import Filters, Query, label_value
from plsync.journal.journal import Journal
from plsync.journal.plan import Plan
from plsync.journal.record import Record
from plsync.journal.search_page import Order, Page, matching_numbers, read_page
from plsync.ui.answers import ApiError
from plsync.ui.selection import Selection, Values, models_of

if TYPE_CHECKING:
    from plsync._common.native import Store

__all__ = ["BUDGET_MS", "Chosen", "Queries"]

BUDGET_MS: Final = 200
"""The time that a query may take before it returns a part."""
_SLICE_MS: Final = 500
_CHUNK: Final = 200
_MOST_MATCHES: Final = 50
_WHOLE: Final = 32
# Ids before and behind all records.
_FIRST: Final = "00" * 16
_LAST: Final = "ff" * 16
# The store counts up to this number.
_EVERY: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Chosen:
    """The records of a selection, for counts and sums."""

    arguments: dict[str, Any]
    """The conditions for the store."""
    only: list[int] | None
    """The ``seq`` of the records, if their content decides; None for all that meet the conditions."""
    is_exact: bool
    """False: the budget ended, and only the newest records are among them."""


class Queries:
    """The queries of the page over one journal.

    Args:
        journal: the journal.
        hide: whether no text may be searched.
    """

    def __init__(self, journal: Journal, *, hide: bool = False) -> None:
        self._journal = journal
        self._hide = hide

    @property
    def store(self) -> Store:
        """The store of the journal."""
        return self._journal._store

    def page(
        self,
        selection: Selection,
        *,
        limit: int = 50,
        cursor: str | None = None,
        order: Order = "time",
        ascending: bool = False,
        budget_ms: int = BUDGET_MS,
    ) -> Page:
        """A page of records.

        Raises:
            ApiError: the cursor is not one of a page in this order.
        """
        if (named := self.named(selection)) is not None:
            return Page(named, None, len(named), len(named), True)
        plan = self.plan(selection)
        if cursor is None and order == "time" and not plan.reads_content:
            # A first page counts the records to search. Only a search shows their number.
            cursor = f"time:{_FIRST if ascending else _LAST}:0:0"
        deadline = time.monotonic() + budget_ms / 1000
        found: list[Record] = []
        while True:
            left_ms = max(1, int((deadline - time.monotonic()) * 1000))
            options: dict[str, Any] = {"limit": limit - len(found), "ascending": ascending, "budget_ms": left_ms}
            try:
                page = read_page(self.store, plan, order, cursor, **options)
            except ValueError:
                raise ApiError(400, "bad_request", "the cursor is not one of a page in this order") from None
            found += page.records
            cursor = page.cursor
            if cursor is None or len(found) >= limit or time.monotonic() >= deadline:
                is_done = cursor is None or len(found) >= limit
                return Page(found, cursor, page.searched, page.total, is_done)

    def plan(self, selection: Selection) -> Plan:
        """How the store runs a selection that names no records.

        Conditions of the page come after the conditions of the store.
        """
        selection = self._run_of(selection)
        self._journal.last_seq()
        plan = Plan.of(Query.from_filters(selection.filters), self.store)
        arguments = plan.arguments
        own: list[Condition] = list(selection.conditions)
        if selection.models:
            names = list(map(short_model, selection.models))
            if all(self.store.by_label("m", label_value(name), 1) for name in names):
                group = tuple(("m", label_value(name)) for name in names)
                arguments = {**arguments, "any_labels": (*arguments["any_labels"], group)}
            else:
                # The class of a model is shown for a request that names no model.
                own.append(Values(models_of, frozenset(names)))
        if selection.root is not None:
            root = ("R", UUID(selection.root).bytes)
            arguments = {**arguments, "labels": (*arguments["labels"], root)}
        return Plan(arguments, (*plan.left, *own))

    def chosen(self, selection: Selection, budget_ms: int = BUDGET_MS) -> Chosen:
        """The records of a selection, for counts and sums."""
        if (named := self.named(selection)) is not None:
            return Chosen({"runs": True}, [record.seq for record in named], True)
        plan = self.plan(selection)
        only, is_partial, _ = matching_numbers(self.store, plan, budget_ms)
        return Chosen(plan.arguments if only is None else {"runs": True}, only, not is_partial)

    def count(self, selection: Selection) -> tuple[int, bool]:
        """The number of records, and whether it is exact."""
        chosen = self.chosen(selection)
        if chosen.only is not None:
            return len(chosen.only), chosen.is_exact
        return self.store.count(_EVERY, **chosen.arguments) or 0, True

    def find(self, key: str) -> Record:
        """The record with an id, as for ``Journal.get``.

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
        if (named := self.named(selection)) is not None:
            return [record for record in named if record.seq > after][:limit]
        found = self._journal.ingested(after, **self._run_of(selection).filters)
        return list(islice((record for record in found if selection.accepts(record)), limit))

    def everything(self, selection: Selection, behind: str | None = None) -> Iterator[Record]:
        """The records of a selection behind a record, newest first, without a budget.

        Args:
            selection: the records.
            behind: the id of the record; None for all records.

        Raises:
            ApiError: ``behind`` is no whole id.
        """
        if (named := self.named(selection)) is not None:
            yield from named
            return
        try:
            cursor = None if behind is None else f"time:{UUID(behind).hex}:0:0"
        except ValueError:
            raise ApiError(400, "bad_request", "the cursor is not one of a page") from None
        plan = self.plan(selection)
        while True:
            options = {"limit": _CHUNK, "ascending": False, "budget_ms": _SLICE_MS}
            page = read_page(self.store, plan, "time", cursor, **options)
            yield from page.records
            cursor = page.cursor
            if cursor is None:
                return

    def models(self, limit: int) -> list[tuple[str, int]]:
        """The models of all calls with their numbers of calls, the most frequent first."""
        return self._journal.label_values("model", limit=limit)

    def progress(self) -> DigestProgress:
        """How many records have their digest, from which sums are made."""
        return self._journal.digests.progress()

    # --- records by ids ---

    def named(self, selection: Selection) -> list[Record] | None:
        """The records that the selection names by ids; None if it names none."""
        filters: Filters = {**selection.filters, "runs": True}
        if selection.ids is not None:
            found = [self._journal.peek(one, **filters) for one in selection.ids]
        elif selection.request_id is not None:
            found = self._of_request(selection.request_id, filters)
        elif selection.digits is not None:
            found = self._of_digits(selection.digits, filters)
            if not found:
                return None
        else:
            return None
        return [record for record in found if record is not None and selection.accepts(record)]

    def _of_request(self, request_id: int, filters: Filters) -> list[Record | None]:
        try:
            candidates = [self._journal.get(f"#{request_id}")]
        except AmbiguousId as error:
            candidates = list(error.candidates.values())
        except RecordNotFound:
            return []
        return [self._journal.peek(record.id, **filters) for record in candidates]

    def _of_digits(self, digits: str, filters: Filters) -> list[Record | None]:
        ids = self.store.ids_starting_with(digits, _MOST_MATCHES) or self.store.ids_ending_with(digits, _MOST_MATCHES)
        return [self._journal.peek(str(UUID(bytes=one)), **filters) for one in ids]

    def _run_of(self, selection: Selection) -> Selection:
        """Digits that are no record's are a run id, or else a text."""
        if selection.digits is None:
            return selection
        if len(selection.digits) == _WHOLE and "run" not in selection.filters:
            run: Filters = {**selection.filters, "run": selection.digits}
            if next(self._journal.records(limit=1, **run), None) is not None:
                return replace(selection, filters=run, digits=None)
        if self._hide:
            # A hit would show that the content has these digits. No record begins before 1970.
            nothing: Filters = {**selection.filters, "until": datetime.fromtimestamp(0, timezone.utc)}
            return replace(selection, filters=nothing, digits=None)
        return replace(selection, filters={**selection.filters, "text": selection.digits}, digits=None)
