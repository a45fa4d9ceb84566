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
    value = float(number)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        # A rounded value gets the unit that it reaches: 999,960 bytes are 1.0 MB.
        if value < 999.95 or unit == "GB":
            break
    return f"{value:,.1f} {unit}"


def duration(ns: int | None) -> str:
    """A duration in nanoseconds: ``3.0 ms``, ``431 ms``, ``1.25 s``, ``2 min 5 s``, ``1 h 2 min``; empty for None."""
    if ns is None:
        return ""
    # Each limit is the value that its form would round to the next unit.
    if ns < 9_950_000:
        return f"{ns / 1e6:.1f} ms"
    if ns < 999_500_000:
        return f"{ns / 1e6:.0f} ms"
    if ns < 59_995_000_000:
        return f"{ns / 1e9:.2f} s"
    seconds = round(ns / 1e9)
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    minutes = round(ns / 60e9)
    return f"{minutes // 60:,} h {minutes % 60} min"
