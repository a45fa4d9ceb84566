"""Formats numbers, times, results and deliveries of records for people."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

from rich.text import Text

from plsync.journal import words
from plsync.journal.display.figures import count, duration, size
from plsync.journal.record import Record

__all__ = [
    "age",
    "count",
    "delivery",
    "duration",
    "exact_time",
    "interval",
    "local_time",
    "result",
    "size",
    "span",
    "tokens",
]

_RESULT_STYLES: dict[words.Result, str] = {
    "ok": "green",
    "error": "red",
    "running": "cyan",
    "cancelled": "yellow",
    "cut short": "yellow",
    "interrupted": "yellow",
}
_DELIVERY_STYLES: dict[words.Delivery, str] = {
    "sent": "green",
    "unclear": "yellow",
    "held": "yellow",
    "refused": "red",
    "dropped": "red",
}


def interval(length: timedelta) -> str:
    """An interval in its largest whole unit: ``90 s``, ``12 h``, ``30 d``."""
    for name, unit in (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("min", timedelta(minutes=1))):
        if length >= unit and length % unit == timedelta():
            return f"{length // unit:,} {name}"
    return f"{length.total_seconds():g} s"


def span(seconds: float) -> str:
    """A length of time in its two largest units: ``12 s``, ``3 min 5 s``, ``3 h 12 min``, ``2 d 4 h``."""
    whole = round(seconds)
    for least, large, part, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= least:
            rest = whole % least // part
            return f"{whole // least:,} {large}" + (f" {rest} {small}" if rest else "")
    return f"{whole} s" if whole else "less than 1 s"


def age(at: datetime) -> str:
    """The time since ``at``: ``12 s``, ``5 min``, ``3 h``, ``2 d``."""
    seconds = max(timedelta(), datetime.now(timezone.utc) - at) // timedelta(seconds=1)
    if seconds < 60:
        return f"{seconds} s"
    minutes = seconds // 60
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // (24 * 60)} d"


def local_time(at: datetime) -> str:
    """Date and time in the local zone, to the second."""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def exact_time(at: datetime) -> str:
    """Date and time in the local zone, to the millisecond, with the zone. ``--since`` accepts it."""
    return at.astimezone().isoformat(sep=" ", timespec="milliseconds")


def tokens(record: Record) -> str:
    """Input and output tokens: ``12→34``; empty if the record has no usage."""
    usage = record.usage
    return f"{usage['input_tokens']:,}→{usage['output_tokens']:,}" if usage else ""


def result(record: Record) -> Text:
    """The result of the call in its colour, with the HTTP status of an error: ``error 429``."""
    word = words.result(record)
    code = record.error["status_code"] if word == "error" and record.error else None
    more = "" if code is None else f" {code}"
    return Text(f"{word}{more}{' (cached)' if record.cached else ''}", style=_RESULT_STYLES[word])


def delivery(record: Record) -> Text:
    """The delivery in its colour, with PromptLayer's request id if there is one: ``sent #1003``."""
    return Text(words.delivery_word(record), style=_DELIVERY_STYLES.get(words.delivery(record), ""))
