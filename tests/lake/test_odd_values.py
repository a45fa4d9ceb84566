"""Rows of odd records: engines read the values that the row maker made, and no record stops an export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import orjson
import polars
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plsync._common.native import LakeColumns
from plsync.genai.columns import COLUMNS, FactsMaker
from plsync.journal import Record
from plsync.lake.files import Compressor, LakeFile
from plsync.lake.rows import row
from plsync.lake.schema import arrow_schema
from tests.support.generated_records import RECORDS

JOURNAL = "0" * 32


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("lake") / "rows.parquet"


def write(path: Path, rows: list[tuple[Any, ...]]) -> None:
    compressor = Compressor()
    columns = LakeColumns(list(COLUMNS.values()), JOURNAL, content=True)
    file = LakeFile(path, arrow_schema(JOURNAL), columns, 0o600, compressor)
    for one in rows:
        file.add(one)
    file.finish()
    compressor.close()


@settings(max_examples=12)
@given(records=st.lists(RECORDS, min_size=1, max_size=8))
def test_engines_read_every_value_of_odd_records(path: Path, records: list[Record]) -> None:
    maker = FactsMaker(JOURNAL)
    made = [one for record in records if (one := row(maker, record)) is not None]
    assert len(made) == len(records)
    write(path, made)
    expected = [tuple(value.decode() if isinstance(value, bytes) else value for value in one) for one in made]
    times = [f"epoch_us({name}) as {name}" for name, kind in COLUMNS.items() if kind == "time"]
    replaced = f"* replace ({', '.join(times)})"
    query = f"select {replaced} from read_parquet('{path}', hive_partitioning=false)"
    assert duckdb.connect().sql(query).fetchall() == expected
    frame = polars.read_parquet(path, hive_partitioning=False)
    as_numbers = [polars.col(name).cast(polars.Int64) for name, kind in COLUMNS.items() if kind == "time"]
    frame = frame.with_columns(as_numbers)
    assert frame.rows() == expected
    for one in made:
        for name, value in zip(COLUMNS, one, strict=True):
            if name in ("input_messages", "output_messages"):
                for message in orjson.loads(value):
                    assert isinstance(message["role"], str)
                    assert all(isinstance(part["type"], str) for part in message["parts"])
