"""Values that any JSON body takes: recorded data may hold anything, and nothing here raises."""

from __future__ import annotations

import math
from typing import Any

import orjson

_MAX_DEPTH = 64
_INT_MIN, _INT_MAX = -(1 << 63), (1 << 64) - 1


def text(value: Any) -> str:
    """A string that UTF-8 can carry: strings with lone surrogates replaced, ``""`` for None, JSON for the rest."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    return json_text(value)


def json_text(value: Any) -> str:
    """Compact JSON of any value."""
    return orjson.dumps(jsonable(value)).decode()


def jsonable(value: Any, depth: int = 0) -> Any:
    """The nearest JSON value: integers beyond 64 bits and unknown objects as text, NaN and infinities as None."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if _INT_MIN <= value <= _INT_MAX else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if depth < _MAX_DEPTH:
        if isinstance(value, dict):
            return {text(key): jsonable(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [jsonable(item, depth + 1) for item in value]
    return text(value if isinstance(value, str) else f"<{type(value).__name__}>")


def as_dict(value: Any) -> dict[str, Any]:
    """The value when it is a dict, else an empty one."""
    return value if isinstance(value, dict) else {}


def as_list(value: Any) -> list[Any]:
    """The value when it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def string(value: Any) -> str | None:
    """The value when it is a string that says something, else None."""
    return text(value) if isinstance(value, str) and value else None


def whole(value: Any) -> int | None:
    """The value when it is an integer of 64 bits, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < _INT_MAX >> 1 else None
