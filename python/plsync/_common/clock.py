"""Time: the clock on the wall, which can be set, and the one that only runs, also while the machine sleeps."""

from __future__ import annotations

import sys
import time
from typing import Final

__all__ = ["WallClock", "elapsed", "now_ms"]

# Linux stops its monotonic clock while the machine sleeps; elsewhere it goes on.
_SINCE_BOOT: Final = getattr(time, "CLOCK_BOOTTIME", getattr(time, "CLOCK_MONOTONIC", 0))
# Servers of time slew a clock by less than this between two looks.
_SET: Final = 2.0


def now_ms() -> int:
    """Milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def elapsed() -> float:
    """Seconds since some moment, sleep included."""
    if sys.platform == "win32":
        return time.monotonic()
    return time.clock_gettime(_SINCE_BOOT)


class WallClock:
    """Notices when the wall clock was set."""

    def __init__(self) -> None:
        """Begin now."""
        self._wall, self._elapsed = time.time(), elapsed()

    def set_since(self) -> tuple[int, int] | None:
        """If it was set since the last look: what it would show now, and what it shows, in ms since the epoch."""
        wall, ran = time.time(), elapsed()
        expected = self._wall + ran - self._elapsed
        self._wall, self._elapsed = wall, ran
        return (int(expected * 1000), int(wall * 1000)) if abs(wall - expected) > _SET else None
