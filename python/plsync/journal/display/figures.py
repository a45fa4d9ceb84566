"""Numbers of bytes and durations, as people read them."""

from __future__ import annotations

__all__ = ["count", "duration", "size"]


def count(number: int, noun: str) -> str:
    """A number with its noun: ``1 record``, ``2,000 records``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(number: int) -> str:
    """A number of bytes: ``812 B``, ``3.4 MB``."""
    if number < 1000:
        return f"{number:,} B"
    # A rounded value gets the unit that it reaches: 999,960 bytes are 1.0 MB.
    unit, tenth = ("kB", 100) if number < 999_950 else ("MB", 100_000) if number < 999_950_000 else ("GB", 100_000_000)
    tenths = _rounded(number, tenth)
    return f"{tenths // 10:,}.{tenths % 10} {unit}"


def duration(ns: int | None) -> str:
    """A duration in nanoseconds: ``3.0 ms``, ``431 ms``, ``1.25 s``, ``2 min 5 s``, ``1 h 2 min``; empty for None."""
    if ns is None:
        return ""
    # Each limit is the value that its form would round to the next unit.
    if ns < 9_950_000:
        tenths = _rounded(ns, 100_000)
        return f"{tenths // 10}.{tenths % 10} ms"
    if ns < 999_500_000:
        return f"{_rounded(ns, 1_000_000)} ms"
    if ns < 59_995_000_000:
        hundredths = _rounded(ns, 10_000_000)
        return f"{hundredths // 100}.{hundredths % 100:02} s"
    seconds = _rounded(ns, 1_000_000_000)
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    minutes = _rounded(ns, 60_000_000_000)
    return f"{minutes // 60:,} h {minutes % 60} min"


def _rounded(number: int, unit: int) -> int:
    # A half is rounded up. `ui/src/lib/format.ts` has the same forms, and JavaScript's numbers round a half up.
    return (number + unit // 2) // unit
