"""The schema of a lake's files.

No type is outside the common part of the engines: Spark reads neither nanoseconds nor unsigned integers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from plsync.errors import ExportError
from plsync.genai.columns import COLUMNS
from plsync.genai.messages import CONVENTIONS

if TYPE_CHECKING:
    import pyarrow

__all__ = ["DICTIONARY", "VERSION", "arrow_schema", "require_arrow"]

VERSION: Final = 2
"""The version of the schema, which every file names under ``plsync.schema``. It grows with each new column."""

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
    "kind",
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
