"""Makes the row of a record, with the columns of :data:`plsync.genai.columns.COLUMNS`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from plsync._common.large_json import dumps
from plsync.genai.columns import COLUMNS, JSON_COLUMNS, FactsMaker

if TYPE_CHECKING:
    from plsync.journal.record import Record

__all__ = ["Row", "row"]

Row = tuple[Any, ...]


def row(maker: FactsMaker, record: Record) -> Row | None:
    """The row of a record in the order of the columns; None if the hook of the maker leaves it out.

    Raises:
        ExportError: the hook failed.
    """
    facts = maker.facts(record)
    if facts is None:
        return None
    for name in JSON_COLUMNS:
        if (value := facts[name]) is not None:
            facts[name] = _json(value)
    return tuple([facts[name] for name in COLUMNS])


def _json(value: Any) -> bytes:
    try:
        return dumps(value)
    except TypeError:  # deeper than orjson writes, or a value of a hook that is no JSON
        return dumps({"unreadable": str(value)[:1000]})
