"""Counts and sums of the records that a selection chooses: facets, the chart, and the usage."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any, Final, Literal, cast, get_args

from plsync.journal import words
from plsync.journal.events.facts import short_model
from plsync.journal.facets import Facets
from plsync.journal.filters import label_value
from plsync.journal.record import Record
from plsync.journal.usage import Grouping, GroupUsage, Measure, UsageReport, measures, stored_usage, summed
from plsync.ui.prices import Prices
from plsync.ui.queries import Chosen, Queries
from plsync.ui.selection import Selection

__all__ = ["USAGE_KINDS", "facets", "histogram", "usage"]

_FACETS: Final = {
    "result": "results",
    "delivery": "deliveries",
    "model": "models",
    "tag": "tags",
    "provider": "providers",
}
_MOST_VALUES: Final = 100
# Names of runs and keys of metadata have no index, so the newest records show them.
_SAMPLED: Final = 200
_MOST_PRICED: Final = 30
_HOURS: Final = 72
_HOUR_MS: Final = 3_600_000

Kind = Literal["model", "tag", "thread", "day", "hour", "result", "provider", "name"]
USAGE_KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
# The store has no groups of these kinds, so their records are read: the newest, within the budget.
_READ: Final[dict[str, Callable[[Record], str | None]]] = {
    "provider": lambda record: record.provider,
    "name": lambda record: record.name,
}
_READ_SECONDS: Final = 0.5


def facets(queries: Queries, selection: Selection, all_but: Callable[[str], Selection]) -> dict[str, Any]:
    """How many records have each value of a kind, with all filters except the filters of the kind.

    Args:
        queries: reads the records.
        selection: the whole selection.
        all_but: the selection without the filters of one kind.
    """
    found: dict[str, Any] = {}
    more: dict[str, int] = {}
    whole: Facets | None = None
    is_exact = True
    for name, attribute in _FACETS.items():
        chosen = all_but(name)
        if name == "model" and selection.used and not chosen.used:
            # Only calls have a model, so the index alone has the numbers.
            pairs = queries.models(_MOST_VALUES + 1)
            found[name] = [{"value": value, "count": number} for value, number in pairs[:_MOST_VALUES]]
            continue
        if chosen.is_like(selection):
            whole = whole or _counted(queries, selection)
            counted = whole
        else:
            counted = _counted(queries, chosen)
        is_exact = is_exact and not counted.is_partial
        values = getattr(counted, attribute)
        pairs = list(values.items() if isinstance(values, dict) else values)
        found[name] = [{"value": value, "count": number} for value, number in pairs[:_MOST_VALUES]]
        if len(pairs) > _MOST_VALUES:
            more[name] = len(pairs) - _MOST_VALUES
    names, keys = _sampled(queries, all_but("name"))
    whole = whole or _counted(queries, selection)
    return {
        **found,
        "name": [{"value": value, "count": number} for value, number in names],
        "more": more,
        "total": whole.total,
        "thread_count": len(whole.threads),
        "metadata_keys": keys,
        "exact": is_exact,
        "sampled": _SAMPLED,
    }


def histogram(queries: Queries, selection: Selection, buckets: int) -> dict[str, Any]:
    """The calls and errors over time."""
    chosen = queries.chosen(selection)
    edges, calls, errors = queries.store.histogram(buckets, only=chosen.only, **chosen.arguments)
    return {
        "from_ms": edges[0] if edges else 0,
        "to_ms": edges[-1] if edges else 0,
        "bucket_ms": edges[1] - edges[0] if edges else 0,
        "buckets": [
            {"start_ms": start, "calls": number, "errors": failed}
            for start, number, failed in zip(edges, calls, errors, strict=False)
        ],
        "exact": chosen.is_exact,
    }


def usage(queries: Queries, selection: Selection, by: Kind, step: str, prices: Prices) -> dict[str, Any]:
    """The sums of calls by a kind and over time.

    Args:
        queries: reads the records.
        selection: the records.
        by: the kind of the groups.
        step: the steps of the series: ``day``, ``hour``, or ``auto`` for hours of at most three days.
        prices: the prices of models.
    """
    chosen = queries.chosen(selection)
    read = _Read(queries, selection, _READ[by], prices) if by in _READ else None
    chart = _step(queries, chosen) if step == "auto" else step
    over_time: Grouping = "hour" if chart == "hour" else "day"
    report = _report(queries, chosen, by) if read is None else read.report
    series = report if by == over_time else _report(queries, chosen, over_time)
    models = report if by == "model" else _report(queries, chosen, "model")
    costs = _Costs(queries, chosen, models, prices)
    of_group, of_moment = costs.by(by) if read is None else read.costs, costs.by(over_time)
    progress = queries.progress()
    return {
        "by": by,
        "step": over_time,
        "groups": [{"name": name, **_sums(group, of_group.get(name))} for name, group in report.groups.items()],
        "total": _sums(models.total, costs.total),
        "series": [
            {"start_ms": _moment(name), **_sums(group, of_moment.get(name))} for name, group in series.groups.items()
        ],
        "counted": progress.done,
        "records": progress.total,
        "pending": models.pending,
        "complete": chosen.is_exact and not models.pending and (read is None or read.is_whole),
        "unpriced": costs.unpriced,
        "prices": bool(prices),
    }


class _Read:
    """The sums of records by a value that the store has no groups of."""

    def __init__(
        self, queries: Queries, selection: Selection, key: Callable[[Record], str | None], prices: Prices
    ) -> None:
        self.costs: dict[str, float] = {}
        self.is_whole = False
        self._prices = prices
        self._key = key
        self.report = summed(self._measures(queries.everything(selection)), "model")

    def _measures(self, records: Iterator[Record]) -> Iterator[Measure]:
        deadline = time.monotonic() + _READ_SECONDS
        for number, record in enumerate(records):
            name = self._key(record) or "(unknown)"
            cost = self._prices.cost_of(record)
            if cost is not None:
                self.costs[name] = self.costs.get(name, 0.0) + cost
            # The measure is made before the parsed content is dropped.
            yield from (replace(measure, keys=(name,)) for measure in measures([record], "model"))
            if number % 50 == 49 and time.monotonic() > deadline:
                return
        self.is_whole = True


class _Costs:
    """The cost of each group, from the prices of models."""

    def __init__(self, queries: Queries, chosen: Chosen, models: UsageReport, prices: Prices) -> None:
        self._queries = queries
        self._chosen = chosen
        self._models = models
        self._prices = prices
        priced = [name for name in models.groups if prices.has(name)]
        self._priced = priced[:_MOST_PRICED]
        self.unpriced = [name for name in models.groups if prices and not prices.has(name)][:_MOST_VALUES]
        found = self.by("model").values()
        self.total: float | None = sum(found) if found else None

    def by(self, kind: Kind) -> dict[str, float]:
        """The cost of each group that has a model with a price."""
        costs: dict[str, float] = {}
        for model in self._priced:
            if kind == "model":
                groups = {model: self._models.groups[model]}
            else:
                groups = _report(self._queries, self._of_model(model), kind).groups
            for name, group in groups.items():
                tokens = group.input_tokens, group.output_tokens, group.cached_tokens
                costs[name] = costs.get(name, 0.0) + (self._prices.cost(model, None, *tokens) or 0.0)
        return costs

    def _of_model(self, model: str) -> Chosen:
        label = ("m", label_value(short_model(model)))
        arguments = self._chosen.arguments
        return Chosen({**arguments, "labels": (*arguments.get("labels", ()), label)}, self._chosen.only, True)


def _counted(queries: Queries, selection: Selection) -> Facets:
    chosen = queries.chosen(selection)
    found = queries.store.facets(limit=_MOST_VALUES + 1, only=chosen.only, **chosen.arguments)
    return Facets.from_dict(found, is_partial=not chosen.is_exact)


def _sampled(queries: Queries, selection: Selection) -> tuple[list[tuple[str, int]], list[str]]:
    """The names of runs and the keys of metadata of the newest records."""
    names: Counter[str] = Counter()
    keys: set[str] = set()
    for record in islice(queries.page(selection, limit=_SAMPLED, budget_ms=50).records, _SAMPLED):
        if record.name:
            names[record.name] += 1
        keys.update(record.metadata)
        record.drop_parsed()
    return names.most_common(_MOST_VALUES), sorted(keys)[:_MOST_VALUES]


def _report(queries: Queries, chosen: Chosen, by: Kind) -> UsageReport:
    if by != "result":
        return stored_usage(queries.store, chosen.arguments, chosen.only, cast("Grouping", by))
    groups: dict[str, GroupUsage] = {}
    total = stored_usage(queries.store, chosen.arguments, chosen.only, "model")
    for word in words.RESULTS:
        ended = set(words.ends_of([word]) or ())
        before = chosen.arguments.get("ended")
        ended = ended if before is None else ended & set(before)
        if not ended:
            continue
        arguments = {**chosen.arguments, "ended": sorted(ended)}
        sums = stored_usage(queries.store, arguments, chosen.only, "model").total
        if sums.calls:
            groups[word] = sums
    return UsageReport("model", groups, total.total, total.pending)


def _step(queries: Queries, chosen: Chosen) -> str:
    edges, *_ = queries.store.histogram(1, only=chosen.only, **chosen.arguments)
    return "hour" if edges and edges[-1] - edges[0] <= _HOURS * _HOUR_MS else "day"


def _sums(group: GroupUsage, cost: float | None) -> dict[str, Any]:
    found = group.as_dict()
    percentiles = ("p50_ns", "p95_ns", "first_token_p50_ns", "first_token_p95_ns")
    in_us = {name.replace("_ns", "_us"): _us(found.pop(name)) for name in percentiles}
    return {**found, **in_us, "cost": cost}


def _us(ns: int | None) -> int | None:
    return None if ns is None else ns // 1000


def _moment(name: str) -> int:
    """The begin of a day or an hour in local time, in ms since the epoch."""
    return int(datetime.fromisoformat(name).timestamp() * 1000)
