"""The native rows of a lake: the mapping in Python is their definition."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

from hypothesis import given, settings

from plsync._common.native import LakeColumns
from plsync.genai.columns import COLUMNS, FactsMaker
from plsync.journal import Journal, Record
from plsync.lake.files import batch_of
from plsync.lake.rows import row
from plsync.lake.schema import arrow_schema
from tests.support.calls import write_calls
from tests.support.generated_records import RECORDS
from tests.support.usual_records import usual_record

JOURNAL = "0" * 32
KINDS = list(COLUMNS.values())
SCHEMA = arrow_schema(JOURNAL)


def native(record: Record, *, content: bool = True) -> dict[str, Any] | None:
    """The native row by column; None if Python must make it."""
    columns = LakeColumns(KINDS, JOURNAL, content)
    return _row(columns) if columns.add_record(record.stored_row()) else None


def by_python(record: Record, *, content: bool = True) -> dict[str, Any]:
    """The row of the mapping in Python."""
    columns = LakeColumns(KINDS, JOURNAL, content)
    made = row(FactsMaker(JOURNAL, content=content), record)
    assert made is not None
    columns.add_row(made)
    return _row(columns)


def _row(columns: LakeColumns) -> dict[str, Any]:
    [found] = batch_of(columns, SCHEMA).to_pylist(maps_as_pydicts="strict")
    return dict(found)


@settings(max_examples=15)
@given(record=RECORDS)
def test_a_native_row_equals_the_row_of_python(record: Record) -> None:
    found = native(record)
    assert found is None or found == by_python(record)


def test_a_native_row_of_a_usual_record_equals_the_row_of_python() -> None:
    chance, made = Random(20), 0  # noqa: S311 - no secret
    for _ in range(600):
        record, content = usual_record(chance), chance.random() < 0.8
        if (found := native(record, content=content)) is not None:
            assert found == by_python(record, content=content)
            made += 1
    # The draws hold forms that the native mapping leaves to Python, too.
    assert made > 150


def test_a_usual_record_of_a_journal_has_a_native_row(tmp_path: Path) -> None:
    write_calls(tmp_path / "journal", 1)
    with Journal.open(tmp_path / "journal") as journal:
        journal.ingest(wait=True)
        record = next(journal.records())
    found = native(record)
    assert found is not None and found == by_python(record)
