"""The operations of OpenTelemetry's ``gen_ai`` conventions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from plsync.journal.record import Record

__all__ = ["operation"]

_OPERATIONS: Final[Mapping[str, str]] = {"chat": "chat", "llm": "text_completion"}
"""The operation of each kind of record. A new kind is one more entry."""


def operation(record: Record) -> str | None:
    """The value of ``gen_ai.operation.name`` for a record; None for a record without the events of a call."""
    return _OPERATIONS.get(record.stored_kind() or "")
