"""Values of a record, read whatever they are: none of these raises on anything that JSON can hold."""

from __future__ import annotations

from typing import Any

import orjson

JSON = dict[str, Any]

_WHOLE = 1 << 63


def text(value: Any) -> str:
    """A string as it is, ``""`` for None, JSON for the rest."""
    if isinstance(value, str):
        return value
    return "" if value is None else json_text(value)


def json_text(value: Any) -> str:
    """Compact JSON of a value."""
    return orjson.dumps(value).decode()


def as_dict(value: Any) -> JSON:
    """The value when it is a dict, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """The value when it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def string(value: Any) -> str | None:
    """The value when it is a string that says something, else None."""
    return value if isinstance(value, str) and value else None


def first(*candidates: Any) -> str | None:
    """The first of them that is a string and says something."""
    return next((candidate for candidate in candidates if isinstance(candidate, str) and candidate), None)


def whole(value: Any) -> int | None:
    """The value when it is an integer of 64 bits, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and -_WHOLE <= value < _WHOLE else None
