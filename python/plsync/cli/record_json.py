"""A record as a line of JSON, for ``list`` and ``tail``."""

from __future__ import annotations

from typing import Any

from plsync.journal.record import Record
from plsync.journal.tree import Run

__all__ = ["record_json"]


def record_json(record: Record) -> dict[str, Any]:
    """The fields of a record. A run that is not a call has its own input and output."""
    fields = record.as_dict()
    if not record.is_run:
        return fields
    run = Run(record)
    return fields | {"input": run.input, "output": run.output}
