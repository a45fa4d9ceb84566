"""Counts, charts, sums and pages of a journal: the part of :class:`plsync.Journal` that reads indexes and digests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Literal

from plsync.journal.digests import DigestProgress, Digests
from plsync.journal.facets import Facets, Histogram
from plsync.journal.filters import Filters, Query
from plsync.journal.plan import Plan
from plsync.journal.record import Record
from plsync.journal.search_page import Order, Page, matching_numbers, read_page
from plsync.journal.usage import GROUPINGS, Grouping, UsageReport, measures, stored_usage, summed

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from plsync._common.native import Store

__all__ = ["Overview"]

# No journal has more records.
_EVERY: Final = (1 << 63) - 1
_LABELS: Final = {"tag": "t", "model": "m", "thread": "c"}


class Overview:
    """The methods of an open journal that show many records at once."""

    if TYPE_CHECKING:

        @property
        def _store(self) -> Store: ...

        def _pages(self, query: Query, limit: int | None, oldest_first: bool) -> Iterator[Record]: ...

        def _ingest_or_warn(self) -> None: ...

    @property
    def digests(self) -> Digests:
        """The digests of the records: their figures, from which counts, charts and sums are made."""
        return Digests(self._store)

    def count(self, *, at_most: int | None = None, **filters: Unpack[Filters]) -> int | None:
        """The number of records that pass every filter.

        Args:
            at_most: do not read more records than this; None for no limit.
            filters: as for :meth:`records`.

        Returns:
            The number; None if a count has to read more than ``at_most`` records, or has to search their content.

        Raises:
            ValueError, TypeError: as :meth:`records`.
        """
        query = Query.from_filters(filters)
        self._ingest_or_warn()
        plan = Plan.of(query, self._store)
        if not plan.left:
            limit = _EVERY if at_most is None else at_most
            counted = self._store.count(limit, **plan.arguments)
            if counted is not None or at_most is not None:
                return counted
        return None if at_most is not None else sum(1 for _ in self._pages(query, None, oldest_first=False))

    def label_values(self, kind: Literal["tag", "model", "thread"], *, limit: int = 1000) -> list[tuple[str, int]]:
        """The tags, the models or the threads of all records, each with its number of records.

        >>> from plsync import Journal
        >>> with Journal.open(create=True) as journal:
        ...     for name, count in journal.label_values("tag"):
        ...         print(name, count)

        Args:
            kind: the kind of the values.
            limit: the maximum number of values.

        Returns:
            The values of the most records first.

        Raises:
            ValueError: an unknown kind.
        """
        if kind not in _LABELS:
            raise ValueError(f"{kind!r} is not a kind of values: use {', '.join(_LABELS)}")
        self._ingest_or_warn()
        found = self._store.label_counts(_LABELS[kind], limit)
        return [(value.decode("utf-8", "replace"), count) for value, count in found]

    def facets(self, *, limit: int = 50, budget_ms: int | None = None, **filters: Unpack[Filters]) -> Facets:
        """Count the records that pass every filter by result, delivery, model, tag, thread and provider.

        Args:
            limit: the maximum number of models, tags, threads and providers.
            budget_ms: end a search of content after this many milliseconds; None for no limit.
            filters: as for :meth:`records`.

        Raises:
            ValueError, TypeError: as :meth:`records`.
        """
        plan, only, is_partial = self._selected(filters, budget_ms)
        found = self._store.facets(limit=limit, only=only, **_without_content(plan, only))
        return Facets.from_dict(found, is_partial=is_partial)

    def histogram(self, *, buckets: int = 60, budget_ms: int | None = None, **filters: Unpack[Filters]) -> Histogram:
        """Count the records that pass every filter over time, in buckets of the same length.

        The buckets begin with the filter ``since`` and end with ``until``, else with the first and the last record.

        Args:
            buckets: their number, from 1 to 10,000.
            budget_ms: end a search of content after this many milliseconds; None for no limit.
            filters: as for :meth:`records`.

        Raises:
            ValueError, TypeError: as :meth:`records`.
        """
        plan, only, is_partial = self._selected(filters, budget_ms)
        edges, calls, errors = self._store.histogram(buckets, only=only, **_without_content(plan, only))
        return Histogram(edges, calls, errors, is_partial)

    def usage(
        self,
        by: Grouping = "model",
        *,
        fill: bool = True,
        on_progress: Callable[[DigestProgress], object] | None = None,
        **filters: Unpack[Filters],
    ) -> UsageReport:
        """Sum up the calls that pass every filter: numbers, errors, tokens and durations.

        >>> from plsync import Journal
        >>> with Journal.open(create=True) as journal:
        ...     for name, usage in journal.usage("day").groups.items():
        ...         print(name, usage.calls, usage.input_tokens, usage.output_tokens)

        Args:
            by: the kind of the groups: ``model``, ``day``, ``hour`` (both in local time), ``tag`` or ``thread``.
            fill: make the missing digests first, which reads the content of their records once. False: records
                without a digest count as calls alone, and :attr:`UsageReport.pending` has their number.
            on_progress: called while missing digests are made.
            filters: as for :meth:`records`.

        Raises:
            ValueError: an unknown ``by``; else as :meth:`records`.
            TypeError: as :meth:`records`.
        """
        if by not in GROUPINGS:
            raise ValueError(f"{by!r} is not a grouping: use {', '.join(GROUPINGS)}")
        query = Query.from_filters(filters)
        self._ingest_or_warn()
        store = self._store
        if fill and self.digests.pending():
            if store.read_only:
                return summed(measures(self._pages(query, None, oldest_first=False), by), by)
            self.digests.fill(on_progress=on_progress)
        plan = Plan.of(query, store)
        only = matching_numbers(store, plan, None)[0]
        return stored_usage(store, _without_content(plan, only), only, by)

    def page(
        self,
        *,
        limit: int = 50,
        order: Order = "time",
        ascending: bool = False,
        budget_ms: int = 200,
        cursor: str | None = None,
        **filters: Unpack[Filters],
    ) -> Page:
        """A page of the records that pass every filter, which ends in time.

        A search of content may end before the page is full, or without a record. The next page goes on where it ended.

        >>> from plsync import Journal
        >>> with Journal.open(create=True) as journal:
        ...     page = journal.page(text="capital of France", budget_ms=100)
        ...     while page.cursor is not None:
        ...         page = journal.page(text="capital of France", budget_ms=100, cursor=page.cursor)

        Args:
            limit: the maximum number of records.
            order: ``time``, or a figure of the digests: ``took``, ``tokens`` or ``first_token``. Records without the
                figure are left out.
            ascending: the oldest or the smallest first; else the newest or the largest.
            budget_ms: the time for a search, in milliseconds.
            cursor: the cursor of the page before, with the same filters and the same order; None for the first page.
            filters: as for :meth:`records`.

        Raises:
            ValueError: an unknown order, or a wrong cursor; else as :meth:`records`.
            TypeError: as :meth:`records`.
        """
        query = Query.from_filters(filters)
        self._ingest_or_warn()
        plan = Plan.of(query, self._store)
        options = {"limit": max(1, limit), "ascending": ascending, "budget_ms": max(1, budget_ms)}
        return read_page(self._store, plan, order, cursor, **options)

    def _selected(self, filters: Filters, budget_ms: int | None) -> tuple[Plan, list[int] | None, bool]:
        query = Query.from_filters(filters)
        self._ingest_or_warn()
        plan = Plan.of(query, self._store)
        only, is_partial, _ = matching_numbers(self._store, plan, budget_ms)
        return plan, only, is_partial


def _without_content(plan: Plan, only: list[int] | None) -> dict[str, Any]:
    """The arguments of a plan. With numbers of records, the conditions on content are met."""
    return plan.arguments if only is None else {"runs": True}
