"""Reads and writes JSON of any size. A failed allocation raises MemoryError, where orjson would end the process."""

from __future__ import annotations

import functools
import sys
from typing import Any, Final

import orjson

__all__ = ["dumps", "loads"]

_LARGE: Final = 1 << 18
# orjson parses in a buffer of this many times the bytes of the JSON.
_BUFFER: Final = 13
# A character of a string takes up to four bytes. A value takes up to this many bytes more, in a list or a dict.
_STRINGS: Final = 4
_VALUE: Final = 100
# orjson, and Python under it, take memory in blocks of up to a megabyte.
_BLOCKS: Final = 8 << 20


@functools.cache
def _is_limited() -> bool:
    """Whether the process has a limit of memory. Without one, a small allocation does not fail."""
    if sys.platform == "win32":
        return False
    import resource  # noqa: PLC0415 - Windows has no such module

    limits = [resource.getrlimit(kind)[0] for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA)]
    return any(limit != resource.RLIM_INFINITY for limit in limits)


def _try_memory(*sizes: int) -> None:
    """Allocate these numbers of bytes at once. The return frees them, so that orjson finds them free.

    Raises:
        MemoryError: the process has no such memory.
    """
    # Nothing writes to these bytes, so the process never has them in its resident memory.
    _ = [bytes(size) for size in sizes]


def loads(data: bytes | str) -> Any:
    """Parse JSON.

    >>> loads(b'[1]')
    [1]

    Raises:
        orjson.JSONDecodeError: ``data`` is not JSON.
        MemoryError: the process has no memory for the values.
    """
    if len(data) > _LARGE or _is_limited():
        values = data.count(b",") if isinstance(data, bytes) else data.count(",")
        _try_memory(_BUFFER * len(data), _STRINGS * len(data) + _VALUE * values + _BLOCKS)
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
