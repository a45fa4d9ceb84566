"""PromptLayer's search filters, applied to the logs in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from plsync.testing.state.prompt_text import prompt_text
from plsync.testing.state.storage import JSON

__all__ = ["UnsupportedQuery", "find_logs"]

_FIELDS: Mapping[str, Callable[[JSON], Any]] = {
    "pl_id": lambda log: log["id"],
    "prompt_id": lambda log: log.get("prompt_id"),
    "engine": lambda log: log.get("model"),
    "provider_type": lambda log: log.get("provider"),
    "input_text": lambda log: prompt_text(log.get("input")),
    "output_text": lambda log: prompt_text(log.get("output")),
    "prompt_version_number": lambda log: log.get("prompt_version_number"),
    "input_tokens": lambda log: log.get("input_tokens") or 0,
    "output_tokens": lambda log: log.get("output_tokens") or 0,
    "cost": lambda log: log.get("price") or 0,
    "request_start_time": lambda log: log.get("request_start_time"),
    "request_end_time": lambda log: log.get("request_end_time"),
    "status": lambda log: log.get("status", "SUCCESS"),
    "tags": lambda log: log.get("tags") or [],
    "metadata_keys": lambda log: list(log["metadata"]),
    "metadata": lambda log: log["metadata"],
}
_SORTED_BY = frozenset({"request_start_time", "input_tokens", "output_tokens", "cost", "status"})

_OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "is": lambda found, wanted: bool(found == wanted),
    "eq": lambda found, wanted: bool(found == wanted),
    "key_equals": lambda found, wanted: bool(found == wanted),
    "in": lambda found, wanted: found in wanted,
    "contains": lambda found, wanted: found is not None and wanted in found,
    "key_contains": lambda found, wanted: found is not None and wanted in found,
    "starts_with": lambda found, wanted: str(found).startswith(wanted),
    "ends_with": lambda found, wanted: str(found).endswith(wanted),
    "gt": lambda found, wanted: found > wanted,
    "gte": lambda found, wanted: found >= wanted,
    "lt": lambda found, wanted: found < wanted,
    "lte": lambda found, wanted: found <= wanted,
    "after": lambda found, wanted: found > wanted,
    "before": lambda found, wanted: found < wanted,
    "between": lambda found, wanted: wanted[0] <= found <= wanted[1],
    "is_null": lambda found, _: found is None,
    "is_empty": lambda found, _: not found,
}
_OPPOSITES = {
    "is_not": "is",
    "neq": "eq",
    "key_not_equals": "key_equals",
    "not_in": "in",
    "not_contains": "contains",
    "is_not_null": "is_null",
    "is_not_empty": "is_empty",
}


class UnsupportedQuery(Exception):
    """The stand-in does not know a filter or an order, or cannot apply it to the field."""


def find_logs(logs: Iterable[JSON], query: JSON) -> list[JSON]:
    """The logs that match a search, in its order; newest first by default.

    Raises:
        UnsupportedQuery: the search has a filter or an order that the stand-in does not support.
    """
    text = (query.get("q") or "").lower()
    found = [log for log in logs if _matches(log, query.get("filter_group")) and text in _text(log)][::-1]
    key, order = query.get("sort_by"), query.get("sort_order")
    if (key is None) != (order is None) or (key is not None and key not in _SORTED_BY):
        raise UnsupportedQuery(f"sort_by and sort_order go together, and sort_by is one of {sorted(_SORTED_BY)}")
    return found if key is None else sorted(found, key=_FIELDS[key], reverse=order == "desc")


def _text(log: JSON) -> str:
    return f"{prompt_text(log.get('input'))}\n{prompt_text(log.get('output'))}".lower()


def _matches(log: JSON, group: JSON | None) -> bool:
    if group is None:
        return True
    test = all if group.get("logic", "AND") == "AND" else any
    return test(_matches(log, one) if "filters" in one else _holds(log, one) for one in group["filters"])


def _holds(log: JSON, condition: JSON) -> bool:
    field, operator, wanted = condition["field"], condition["operator"], condition.get("value")
    if operator in _OPPOSITES:
        return not _holds(log, {**condition, "operator": _OPPOSITES[operator]})
    if field not in _FIELDS or operator not in _OPERATORS:
        raise UnsupportedQuery(f"The stand-in cannot search by {field} with {operator}")
    found = _FIELDS[field](log)
    if field == "metadata":
        found = found.get(condition.get("nested_key"))
    if field in {"tags", "metadata_keys"} and operator in {"is", "in"}:
        return any(_OPERATORS[operator](one, wanted) for one in found)
    try:
        return _OPERATORS[operator](found, wanted)
    except (TypeError, IndexError):
        raise UnsupportedQuery(f"{field} cannot be compared by {operator} with {wanted!r}") from None
