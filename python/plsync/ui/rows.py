"""A record as a row of the list: facts and previews, without its content."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from plsync.journal import words
from plsync.journal.conditions import thread_of
from plsync.journal.display import message_text
from plsync.journal.display.conversation import message_of
from plsync.journal.events.facts import short_model, step_input
from plsync.journal.record import Record
from plsync.journal.short_ids import short_end
from plsync.ui.prices import Prices
from plsync.ui.values import preview, preview_of

__all__ = ["Rows", "ms", "us"]

_MOST_PARTS: Final = 20


def ms(at: datetime | None) -> int | None:
    """A time in ms since the epoch."""
    return None if at is None else int(at.timestamp() * 1000)


def us(ns: int | None) -> int | None:
    """A duration in µs."""
    return None if ns is None else ns // 1000


@dataclass(frozen=True, slots=True)
class Rows:
    """Makes the rows of one journal."""

    prices: Prices
    hide: bool
    """Whether texts are left out."""
    records: int
    """The number of records in the journal, for short ids."""

    def row(self, record: Record, columns: Iterable[str] = ()) -> dict[str, Any]:
        """The facts of a record, JSON-able.

        Args:
            record: the record.
            columns: keys of the metadata to include.
        """
        error, usage, metadata = record.error, record.usage, record.metadata
        first = record.first_token_at
        tokens = None
        if usage is not None:
            cached = (usage.get("input_token_details") or {}).get("cache_read")
            tokens = {
                "input": usage["input_tokens"],
                "output": usage["output_tokens"],
                "cached": cached if isinstance(cached, int) else None,
            }
        model = record.model
        found = {
            "id": record.id,
            "short": short_end(record.id, self.records),
            "seq": record.seq,
            "kind": record.kind,
            "is_run": record.is_run,
            "name": record.name,
            "model": None if model is None else short_model(model),
            "provider": record.provider,
            "class_name": record.class_name,
            "started_ms": record.started_ns // 1_000_000,
            "took_us": us(record.duration_ns),
            "first_token_us": None if first is None else int((first - record.started_at).total_seconds() * 1e6),
            "result": words.result(record),
            "status_code": error["status_code"] if error else None,
            "error": error["type"] if error else None,
            "error_message": preview(error["message"]) if error and not self.hide else None,
            "tokens": tokens,
            "cost": self.prices.cost_of(record),
            "delivery": words.delivery(record),
            "request_id": record.request_id,
            "server": record.server,
            "tags": record.tags,
            "marks": record.marks(),
            "thread": thread_of(metadata),
            "root_id": record.root_id,
            "parent_id": record.parent_id,
            "input": None if self.hide else self._input(record),
            "output": None if self.hide else self._output(record),
            "metadata": {key: preview_of(metadata[key]) for key in columns if key in metadata},
        }
        if self.hide:
            found["hidden"] = True
        return found

    def _input(self, record: Record) -> str | None:
        if record.is_run:
            return preview_of(step_input(*record.plain_events()))
        return preview(message_text.preview(record)) or None

    def _output(self, record: Record) -> str | None:
        if record.is_run:
            return preview_of(record.plain_events()[1].get("output"))
        for generation in record.output:
            message = message_of(generation["message"] or generation["text"])
            texts = [part.text for part in message.parts if part.kind in ("text", "refusal")]
            if text := " ".join(filter(None, map(preview, texts[:_MOST_PARTS]))):
                return preview(text)
            if message.tool_calls:
                calls = message.tool_calls[:_MOST_PARTS]
                return preview(", ".join(f"→ {call.name}({preview_of(call.args) or ''})" for call in calls))
        return None
