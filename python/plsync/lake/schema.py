"""The columns of a lake's files. ``docs/guide/lake.md`` describes them.

Columns are only ever added, so a file of an earlier version has some of them. No type is outside the common part of the
engines: Spark reads neither nanoseconds nor unsigned integers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from plsync.errors import ExportError
from plsync.genai.messages import CONVENTIONS

if TYPE_CHECKING:
    import pyarrow

__all__ = ["COLUMNS", "CONTENT", "DICTIONARY", "VERSION", "arrow_schema", "require_arrow"]

VERSION: Final = 1
"""The version of the schema, which every file names under ``plsync.schema``. It grows with each new column."""

COLUMNS: Final = {
    "record_id": "text",
    "journal_id": "text",
    "seq": "int",
    "trace_id": "text",
    "span_id": "text",
    "parent_span_id": "text",
    "run_id": "text",
    "parent_run_id": "text",
    "operation": "text",
    "name": "text",
    "provider": "text",
    "model": "text",
    "status": "text",
    "error_type": "text",
    "error_message": "text",
    "started_at": "time",
    "first_token_at": "time",
    "ended_at": "time",
    "duration_ns": "int",
    "input_tokens": "int",
    "output_tokens": "int",
    "cached_input_tokens": "int",
    "reasoning_tokens": "int",
    "input_messages": "text",
    "output_messages": "text",
    "tools": "text",
    "params": "text",
    "tool_calls": "texts",
    "tool_errors": "texts",
    "tags": "texts",
    "metadata": "map",
    "conversation_id": "text",
    "user_id": "text",
    "state": "text",
    "request_id": "int",
    "acked_at": "time",
    "marks": "texts",
}
"""The type of each column: ``text``, ``int``, ``time``, ``texts`` (a list) or ``map`` (of texts)."""

CONTENT: Final = ("input_messages", "output_messages", "tools", "error_message")
"""The columns that ``--no-content`` leaves empty."""

DICTIONARY: Final = (
    "journal_id",
    "operation",
    "name",
    "provider",
    "model",
    "status",
    "error_type",
    "tools",
    "params",
    "tool_calls.list.element",
    "tool_errors.list.element",
    "tags.list.element",
    "metadata.key_value.key",
    "metadata.key_value.value",
    "conversation_id",
    "user_id",
    "state",
    "marks.list.element",
)
"""The columns, by their paths in the file, whose values repeat."""


def require_arrow() -> None:
    """Check that pyarrow is installed.

    Raises:
        ExportError: pyarrow is not installed.
    """
    try:
        import pyarrow.parquet  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise ExportError(
            "Parquet files need the package pyarrow, and nothing was written: pip install 'plsync[parquet]'"
        ) from None


def arrow_schema(journal_id: str) -> pyarrow.Schema:
    """The schema of a file of this journal, with the facts of the file as its metadata."""
    import pyarrow as pa  # noqa: PLC0415 - an extra

    types = {
        "text": pa.string(),
        "int": pa.int64(),
        "time": pa.timestamp("us", tz="UTC"),
        "texts": pa.list_(pa.field("element", pa.string())),
        "map": pa.map_(pa.string(), pa.string()),
    }
    facts = {"plsync.schema": str(VERSION), "plsync.journal": journal_id, "plsync.gen_ai": CONVENTIONS}
    return pa.schema([pa.field(name, types[kind]) for name, kind in COLUMNS.items()], metadata=facts)
