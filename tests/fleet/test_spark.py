"""The lake of many machines in Apache Spark: a driver and two executors, in three processes.

``make fleet`` installs Spark and runs these tests. Other runs skip them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest

from plsync.genai.columns import COLUMNS
from tests.support.lake_page import QUESTIONS, VIEW, code
from tests.support.lakes import RECORDS, machine

pyspark = pytest.importorskip("pyspark", reason="`make fleet` installs Spark")

pytestmark = [pytest.mark.timeout(600), pytest.mark.filterwarnings("ignore")]

MACHINES = 30
TYPES = {
    "text": "string",
    "int": "bigint",
    "time": "timestamp",
    "texts": "array<string>",
    "map": "map<string,string>",
}


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The parent of the lake of many machines."""
    path = tmp_path_factory.mktemp("fleet")
    for number in range(MACHINES):
        model = ("gpt-4o", "gpt-4o-mini")[number % 2]
        machine(path / f"journal-{number}", path / "lake", model=model, extra_seconds=number % 7, acked=number % 5)
    return path


@pytest.fixture(scope="module")
def spark(lake: Path) -> Iterator[Any]:
    """A session with two workers on this machine, which has read the lake as the page does."""
    from pyspark.sql import SparkSession  # type: ignore[import-not-found]  # noqa: PLC0415

    os.environ["SPARK_HOME"] = str(Path(pyspark.__file__).parent)
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    settings = {
        "spark.executor.memory": "512m",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "4",
        "spark.sql.warehouse.dir": str(lake / "warehouse"),
    }
    session = SparkSession.builder.master("local-cluster[2,1,1024]").config(map=settings).getOrCreate()
    try:
        exec(code(VIEW, "Spark").replace('"lake")', f'"{lake}/lake")', 1), {"spark": session})  # noqa: S102
        yield session
    finally:
        session.stop()


def test_spark_reads_every_column_with_its_type(spark: Any) -> None:
    found = {field.name: field.dataType.simpleString() for field in spark.table("lake").schema.fields}
    assert found == {**{name: TYPES[kind] for name, kind in COLUMNS.items()}, "date": "date"}


def test_several_executors_read_the_lake_of_many_machines(spark: Any, lake: Path) -> None:
    counted = spark.sql("select count(*), count(distinct journal_id), count(distinct record_id) from lake").collect()
    assert tuple(counted[0]) == (RECORDS * MACHINES, MACHINES, RECORDS * MACHINES)
    # The driver is one of them.
    assert spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size() == 3


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_sql_of_the_page_returns_the_rows_of_duckdb(spark: Any, question: str, lake: Path) -> None:
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    connection.execute(code(VIEW, "DuckDB").replace("'lake/", f"'{lake}/lake/"))
    expected = [plain(row) for row in connection.execute(code(question, "DuckDB")).fetchall()]
    found = [plain(row) for row in spark.sql(code(question, "Spark")).collect()]
    assert found == expected
    assert found


def plain(row: Any) -> tuple[Any, ...]:
    return tuple(map(_plain, row))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        # Spark's datetimes are local times without a zone.
        return value.astimezone(timezone.utc)
    return round(float(value), 9) if type(value).__name__ in ("Decimal", "float") else value
