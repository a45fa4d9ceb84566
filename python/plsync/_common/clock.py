"""Clocks and times: now, elapsed time, a change of the wall clock, and conversions to and from datetimes."""

from __future__ import annotations

import sys
import time
from datetime import datetime, timedelta, timezone
from typing import Final

__all__ = ["WallClock", "datetime_from_ms", "datetime_from_ns", "elapsed", "ms_from_datetime", "now_ms"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=timezone.utc)
# Linux stops its monotonic clock while the machine sleeps. Other systems do not.
_SINCE_BOOT: Final = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", 0))
# Time servers slew a clock by fewer seconds than this between two calls.
_SET: Final = 2.0


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def elapsed() -> float:
    """Seconds on a clock that only runs forward. Sleep of the machine counts."""
    if sys.platform == "win32":
        return time.monotonic()
    return time.clock_gettime(_SINCE_BOOT)


def datetime_from_ns(ns: int) -> datetime:
    """Nanoseconds since the epoch as a datetime in UTC, exact to the microsecond.

    >>> datetime_from_ns(1_000_000_001_999).isoformat()
    '1970-01-01T00:16:40.000001+00:00'
    """
    # Not fromtimestamp(): a float cannot hold today's microseconds exactly.
    return _EPOCH + timedelta(microseconds=ns // 1000)


def datetime_from_ms(ms: int) -> datetime:
    """Milliseconds since the epoch as a datetime in UTC."""
    return _EPOCH + timedelta(milliseconds=ms)


def ms_from_datetime(at: datetime) -> int:
    """A datetime as whole milliseconds since the epoch.

    Raises:
        ValueError: ``at`` has no time zone.
    """
    if at.utcoffset() is None:
        raise ValueError(f"{at.isoformat()} has no time zone: add one, e.g. with .astimezone()")
    return int(at.timestamp() * 1000)


class WallClock:
    """The wall clock of a run. It runs steadily until :meth:`set_since` takes over that the system's clock was set.

    So all due times of one round go by one clock, and the change of the clock moves each of them once.
    """

    def __init__(self) -> None:
        self._wall, self._elapsed = time.time(), elapsed()

    def now_ms(self) -> int:
        """Milliseconds since the epoch."""
        return int((self._wall + elapsed() - self._elapsed) * 1000)

    def set_since(self) -> tuple[int, int] | None:
        """Whether the system's clock was set since the last call, found by comparing it with elapsed time.

        Returns:
            None when it was not. Else two times in ms since the epoch: the expected time, and the clock's time.
        """
        wall, ran = time.time(), elapsed()
        expected = self._wall + ran - self._elapsed
        self._wall, self._elapsed = wall, ran
        return (int(expected * 1000), int(wall * 1000)) if abs(wall - expected) > _SET else None
