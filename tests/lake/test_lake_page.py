"""The five questions of docs/guide/lake.md, in DuckDB and Polars. `make fleet` runs them in Spark."""

from __future__ import annotations

from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest

from plsync.journal import Journal
from tests.support.lake_page import QUESTIONS, VIEW, code
from tests.support.lakes import DAY, START, machine


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of the lake of two machines, and of their journals."""
    path = tmp_path_factory.mktemp("fleet")
    for number, model in enumerate(("gpt-4o", "gpt-4o-mini")):
        machine(path / f"journal-{number}", path / "lake", model=model, extra_seconds=number, acked=1 + number)
    return path


EXPECTED: dict[str, Any] = {
    "Cost by model and day": [
        (date(2026, 5, 1), "gpt-4o", 2, 0.0145),
        (date(2026, 5, 1), "gpt-4o-mini", 2, 0.00087),
        (date(2026, 5, 2), "gpt-4o", 2, 0.011),
        (date(2026, 5, 2), "gpt-4o-mini", 2, 0.00081),
    ],
    "Slowest prompts": [("Where?", "gpt-4o-mini", 3, 5.0), ("Where?", "gpt-4o", 3, 4.0)],
    "Error rates after a release": [("2.0", 2, 0.0), ("2.1", 6, pytest.approx(1 / 3))],
    "Tool failures": [("fetch", 4, 2), ("search", 4, 0)],
}


def delivery(lake: Path) -> list[tuple[Any, ...]]:
    expected = []
    for number, (waiting, at) in enumerate([(3, START + 1), (2, START + DAY)]):
        with Journal.open(lake / f"journal-{number}") as journal:
            expected.append((journal.id, waiting, datetime.fromtimestamp(at / 1000, timezone.utc)))
    return sorted(expected)


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_page_answers_a_question_in_duckdb_and_polars(
    question: str, lake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(lake)
    expected = EXPECTED.get(question) or delivery(lake)
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    connection.execute(code(VIEW, "DuckDB"))
    connection.execute(code(question, "DuckDB"))
    found = connection.fetchall()
    assert [tuple(_plain(value) for value in row) for row in found] == expected
    names: dict[str, Any] = {}
    exec(code(VIEW, "Polars") + code(question, "Polars"), names)  # noqa: S102 - the code of the page
    assert names["answer"].rows() == expected
    assert names["answer"].columns == [column[0] for column in connection.description or ()]


def test_the_page_has_five_questions_each_with_an_answer_in_every_engine() -> None:
    assert len(QUESTIONS) == 5
    for question in (VIEW, *QUESTIONS):
        assert all(code(question, engine) for engine in ("DuckDB", "Polars", "Spark"))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(timezone.utc)
    return float(value) if type(value).__name__ == "Decimal" else value
