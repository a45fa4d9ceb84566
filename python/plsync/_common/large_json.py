"""Reads and writes JSON of any size. A failed allocation raises MemoryError, where orjson would end the process."""

from __future__ import annotations

from typing import Any, Final

import orjson

__all__ = ["dumps", "loads"]

_LARGE: Final = 1 << 20
# orjson takes at most this many times the bytes of the JSON: a copy of it, its values, and the strings that it returns.
_FACTOR: Final = 5


def loads(data: bytes | str) -> Any:
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
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        # orjson has no other sign of a failed allocation that it notices.
        if error.msg.startswith("Not enough memory"):
            raise MemoryError(error.msg) from None
        raise


def dumps(value: Any, option: int | None = None) -> bytes:
    """Write JSON.

    Args:
        value: the value.
        option: orjson's options.

    >>> dumps([1])
    b'[1]'

    Raises:
        TypeError: the value has no form in JSON.
        MemoryError: the process has no memory for the JSON.
    """
    from plsync._common.native import check_json_memory  # noqa: PLC0415 - importing plsync must not load the native module

    check_json_memory(value)
    return orjson.dumps(value, option=option)
