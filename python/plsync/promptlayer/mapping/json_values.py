"""Reads values of any JSON type out of a record. No function here raises for a JSON value."""

from __future__ import annotations

from typing import Any

from plsync._common.large_json import dumps

JSON = dict[str, Any]

_LIMIT = 1 << 63


def text(value: Any) -> str:
    """A string unchanged, ``""`` for None, and JSON for any other value."""
    if isinstance(value, str):
        return value
    return "" if value is None else json_text(value)


def json_text(value: Any) -> str:
    """Compact JSON of a value."""
    return dumps(value).decode()


def as_dict(value: Any) -> JSON:
    """The value when it is a dict, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """The value when it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def string(value: Any) -> str | None:
    """The value when it is a string that is not empty, else None."""
    return value if isinstance(value, str) and value else None


def first_string(*candidates: Any) -> str | None:
    """The first candidate that is a string and not empty; None without one."""
    return next((candidate for candidate in candidates if isinstance(candidate, str) and candidate), None)


def integer(value: Any) -> int | None:
    """The value when it is an integer of at most 64 bits, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and -_LIMIT <= value < _LIMIT else None
