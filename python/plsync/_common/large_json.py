"""Parses JSON of any size. A failed allocation raises MemoryError, where orjson would end the process by a signal."""

from __future__ import annotations

from typing import Any, Final

import orjson

__all__ = ["loads"]

_LARGE: Final = 1 << 20
# orjson takes at most this many times the bytes of the JSON: a copy of it, its values, and the strings that it returns.
_FACTOR: Final = 5


def loads(data: bytes) -> Any:
    """Parse JSON.

    >>> loads(b'[1]')
    [1]

    Raises:
        orjson.JSONDecodeError: ``data`` is not JSON.
        MemoryError: the process has no memory for the values.
    """
    if len(data) > _LARGE:
        # Nothing writes to these bytes, so the process never has them in its resident memory.
        bytes(_FACTOR * len(data))
    return orjson.loads(data)
