"""The five questions of docs/guide/lake.md, in DuckDB and Polars. `make fleet` runs them in Spark."""

from __future__ import annotations

from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any

import duckdb
import pytest

from plsync.journal import Journal
from plsync.lake.export import export
from tests.support.lake_page import QUESTIONS, VIEW, code
from tests.support.spooling import SpoolWriter

# 2026-05-01T00:00:00Z
T = 1_777_593_600_000
DAY = 86_400_000


def human(text: str) -> dict[str, Any]:
    return {"type": "human", "content": text}


def calling(*names: str) -> dict[str, Any]:
    calls = [{"name": name, "args": {"x": 1}, "id": f"id of {name}", "type": "tool_call"} for name in names]
    return {"type": "ai", "content": "", "tool_calls": calls}


def result(name: str, status: str) -> dict[str, Any]:
    return {"type": "tool", "content": "7", "tool_call_id": f"id of {name}", "status": status}


def call(
    writer: SpoolWriter, at: int, model: str, messages: list[Any], answer: dict[str, Any], *, seconds: int
) -> None:
    """Record a call of release 2.0 at T, and of 2.1 later."""
    release = "2.0" if at == T else "2.1"
    start = {"kind": "chat", "messages": messages, "params": {"model": model}, "metadata": {"release": release}}
    usage = {"input_tokens": 1000 * seconds, "output_tokens": 100, "total_tokens": 1000 * seconds + 100}
    message = {**answer, "usage_metadata": usage}
    end = {"generations": [{"text": "", "message": message}], "elapsed": seconds * 1_000_000_000}
    writer.end(writer.start(start, at=at), end)


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lake of two machines."""
    path = tmp_path_factory.mktemp("fleet")
    for machine, model in enumerate(("gpt-4o", "gpt-4o-mini")):
        writer = SpoolWriter(path / f"journal-{machine}")

        begin = [human("Where?"), calling("search", "fetch")]
        call(writer, T, model, begin[:1], begin[1], seconds=2)
        failed = [*begin, result("search", "success"), result("fetch", "error")]
        call(writer, T + 1, model, failed, calling("fetch"), seconds=3)
        # The failure is in the history, and is reported once.
        later = [*failed, calling("fetch"), result("fetch", "success")]
        call(writer, T + DAY, model, later, calling(), seconds=4 + machine)
        refused = writer.start(
            {"kind": "chat", "messages": [human("Why?")], "params": {"model": model}, "metadata": {"release": "2.1"}},
            at=T + DAY + 1,
        )
        writer.end(refused, {"error": {"type": "RateLimitError", "message": "slow down"}}, ended="error")
        writer.close()
        with Journal.open(path / f"journal-{machine}") as journal:
            journal.ingest(wait=True)
            journal.outbox.ack([(1, 71), (2, 72)] if machine else [(1, 71)])
            export(journal, path / "lake")
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
    "Tool failures": [("fetch", 4, 2), ("search", 2, 0)],
}


def delivery(lake: Path) -> list[tuple[Any, ...]]:
    expected = []
    for machine, (waiting, at) in enumerate([(3, T + 1), (2, T + DAY)]):
        with Journal.open(lake / f"journal-{machine}") as journal:
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
