"""Figures and states in the words people use."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

from rich.text import Text

from plsync.journal.record import Record

__all__ = ["age", "content", "count", "duration", "preview", "size", "span", "state", "status", "tokens", "when"]

_STATUS_STYLES = {"ok": "green", "error": "red", "pending": "cyan", "cancelled": "yellow", "partial": "yellow"}
_STATE_STYLES = {"acked": "green", "in_doubt": "yellow", "held": "yellow", "dead": "red"}


def count(number: int, noun: str) -> str:
    """``1 record``, ``2,000 records``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(number: int) -> str:
    """Bytes: ``812 B``, ``3.4 MB``."""
    value = float(number)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:,.0f} {unit}" if unit == "B" else f"{value:,.1f} {unit}"


def duration(ns: int | None) -> str:
    """``3 ms``, ``1.25 s``, ``2 min 5 s``."""
    if ns is None:
        return ""
    seconds = ns / 1e9
    if seconds < 1:
        return f"{seconds * 1000:.{1 if seconds < 0.01 else 0}f} ms"
    return f"{seconds:.2f} s" if seconds < 60 else f"{seconds // 60:.0f} min {seconds % 60:.0f} s"


def span(length: timedelta) -> str:
    """A length of time in its largest whole unit: ``90 s``, ``12 h``, ``30 d``."""
    for unit, one in (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("min", timedelta(minutes=1))):
        if length >= one and length % one == timedelta():
            return f"{length // one:,} {unit}"
    return f"{length.total_seconds():g} s"


def age(at: datetime) -> str:
    """How long ago: ``5 min``, ``3 h``, ``2 d``."""
    minutes = max(timedelta(), datetime.now(timezone.utc) - at) // timedelta(minutes=1)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // (24 * 60)} d"


def when(at: datetime) -> str:
    """Local date and time to the second."""
    return f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def tokens(record: Record) -> str:
    """Tokens in and out: ``12→34``."""
    usage = record.usage
    return f"{usage['input_tokens']:,}→{usage['output_tokens']:,}" if usage else ""


def status(record: Record) -> Text:
    """How the call ended."""
    return Text(f"{record.status}{' (cached)' if record.cached else ''}", style=_STATUS_STYLES[record.status])


def state(record: Record) -> Text:
    """The sync state, with PromptLayer's request id once there is one."""
    request = "" if record.request_id is None else f" #{record.request_id}"
    return Text(record.state.replace("_", " ") + request, style=_STATE_STYLES.get(record.state, ""))


def content(value: Any) -> str:
    """A message's content as text: blocks one after the other, media named by their type."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(filter(None, map(_block, value)))
    return "" if value is None else str(value)


def preview(record: Record) -> str:
    """What stands for the input on one line: the last message or prompt with something in it."""
    if record.pruned:
        return "(pruned: the content went to the quota)"
    for item in reversed(record.input):
        text = content(item.get("content", item) if isinstance(item, dict) else item)
        if text.strip():
            return text
    return ""


def _block(block: Any) -> str:
    if not isinstance(block, dict):
        return str(block)
    for key in ("text", "reasoning", "thinking", "refusal"):
        if isinstance(block.get(key), str):
            return str(block[key]) if key == "text" else f"({key}) {block[key]}"
    # Tool calls are shown from the message's own list.
    kind = str(block.get("type", "block"))
    return "" if kind in {"tool_call", "tool_use", "function_call"} else f"[{kind.removesuffix('_url')}]"
