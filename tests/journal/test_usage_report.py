"""``Journal.usage`` and ``plsync usage``: sums of calls by model, day, tag and thread."""

from __future__ import annotations

import json
import re
import tracemalloc
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plsync.journal import Journal, UsageReport
from plsync.journal import usage as usage_module
from plsync.journal.durations import Durations
from plsync.journal.usage import Measure, summed
from tests.support.commands import printed, run
from tests.support.spooling import CACHED, SpoolWriter
from tests.support.terminal import on_terminal

T = 1_760_000_000_000
DAY = 86_400_000


def call(writer: SpoolWriter, at: int, *, tokens: tuple[int, int] | None = (10, 1), ms: int = 100, **more: Any) -> None:
    ended, flags = more.pop("ended", "ok"), more.pop("flags", 0)
    record_id = writer.start({"kind": "chat", "messages": [], **more}, at=at, tags=more.pop("tags", None))
    message: dict[str, Any] = {"type": "ai", "content": ""}
    if tokens is not None:
        counts = {"input_tokens": tokens[0], "output_tokens": tokens[1], "total_tokens": sum(tokens)}
        message["usage_metadata"] = counts
    generation = {"$": "ChatGeneration", "v": {"message": {"$": "AIMessage", "v": message}}}
    end = {"generations": [generation], "elapsed": ms * 1_000_000}
    writer.end(record_id, end, ended=ended, flags=flags)


@pytest.fixture
def recorded(writer: SpoolWriter, path: Path) -> Path:
    """Calls of two models, three days, several tags and threads."""
    call(writer, T, params={"model": "a"}, tags=["x", "y"], metadata={"thread_id": "1"})
    call(writer, T + DAY, params={"model": "a"}, tags=["x"], metadata={"session_id": 1}, ms=300, tokens=(20, 2))
    call(writer, T + DAY, params={"model": "b"}, ended="error", tokens=None, ms=500)
    call(writer, T + 2 * DAY, params={"model": "b"}, flags=CACHED, ms=0, tokens=(1000, 1000))
    writer.start({"kind": "llm", "prompts": ["?"], "params": {"model": "b"}}, at=T + 2 * DAY)
    writer.start({"kind": "llm", "prompts": ["?"], "metadata": {"conversation_id": "2"}}, at=T + 2 * DAY)
    return path


def sums(report: UsageReport) -> dict[str, tuple[int, int, int, int]]:
    return {
        name: (group.calls, group.errors, group.input_tokens, group.output_tokens)
        for name, group in report.groups.items()
    }


def test_calls_are_summed_by_each_grouping(recorded: Path) -> None:
    with Journal.open(recorded) as journal:
        assert sums(journal.usage()) == {"b": (3, 1, 0, 0), "a": (2, 0, 30, 3), "(unknown)": (1, 0, 0, 0)}
        days = [datetime.fromtimestamp((T + offset * DAY) / 1000).date().isoformat() for offset in range(3)]
        assert sums(journal.usage("day")) == dict(zip(days, [(1, 0, 10, 1), (2, 1, 20, 2), (3, 0, 0, 0)], strict=True))
        assert sums(journal.usage("tag")) == {"(no tag)": (4, 1, 0, 0), "x": (2, 0, 30, 3), "y": (1, 0, 10, 1)}
        assert sums(journal.usage("thread")) == {"(no thread)": (3, 1, 0, 0), "1": (2, 0, 30, 3), "2": (1, 0, 0, 0)}
        report = journal.usage("tag", model="a", slower=timedelta(milliseconds=100))
        assert sums(report) == {"x": (1, 0, 20, 2)}
        with pytest.raises(ValueError, match="'week' is not a grouping"):
            journal.usage("week")  # type: ignore[arg-type]


def test_the_total_has_each_call_once_and_no_figures_of_a_cache(recorded: Path) -> None:
    with Journal.open(recorded) as journal:
        for by in usage_module.GROUPINGS:
            total = journal.usage(by).total.as_dict()
            assert total == {
                "calls": 6,
                "errors": 1,
                "cached": 1,
                "without_tokens": 3,
                "input_tokens": 30,
                "output_tokens": 3,
                "p50_ns": 300_000_000,
                "p95_ns": 500_000_000,
                "cached_tokens": 0,
                "first_token_p50_ns": None,
                "first_token_p95_ns": None,
            }


def test_the_command_prints_a_table_and_a_total(recorded: Path) -> None:
    done = run(recorded, "usage", "--status", "ok", "--status", "error")
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["MODEL", "CALLS", "ERRORS", "TOKENS", "IN", "TOKENS", "OUT", "P50", "P95"],
        ["a", "2", "0", "30", "3", "100", "ms", "300", "ms"],
        ["b", "2", "1", "500", "ms", "500", "ms"],
        ["total", "4", "1", "30", "3", "300", "ms", "500", "ms"],
    ]
    assert done.stderr == "1 of 4 calls had no token counts\n"
    report = json.loads(printed(recorded, "usage", "--by", "thread", "--thread", "1", "--json"))
    assert report["by"] == "thread"
    assert [(group["thread"], group["calls"]) for group in report["groups"]] == [("1", 2)]
    assert report["total"]["input_tokens"] == 30
    assert run(recorded, "usage", "--tag", "none").stderr.startswith("no record matches; `plsync list`")
    newest = run(recorded, "usage", "--by", "day", "-n", "1")
    assert newest.stdout.splitlines()[1].startswith(datetime.fromtimestamp((T + 2 * DAY) / 1000).date().isoformat())
    assert "1 of 3 days shown: -n all shows all" in newest.stderr


@pytest.mark.parametrize(
    ("columns", "headings"),
    [
        (100, ["MODEL", "CALLS", "ERRORS", "TOKENS IN", "TOKENS OUT", "P50", "P95"]),
        (60, ["MODEL", "CALLS", "ERRORS", "TOKENS IN", "P50", "P95"]),
        (50, ["MODEL", "CALLS", "ERRORS", "P50", "P95"]),
        (40, ["MODEL", "CALLS", "ERRORS", "P95"]),
        (20, ["MODEL", "CALLS"]),
    ],
)
def test_a_narrow_terminal_gets_fewer_columns_and_whole_values(
    recorded: Path, columns: int, headings: list[str]
) -> None:
    heading, *lines, _ = on_terminal(recorded, "usage", columns=columns).splitlines()
    assert re.split(r"  +", heading) == headings
    assert all(len(line) <= columns for line in lines)
    if "P95" in headings:
        assert lines[-1].endswith("  500 ms")


def test_a_terminal_gets_no_empty_column_of_tokens(recorded: Path) -> None:
    assert "TOKENS" not in on_terminal(recorded, "usage", "--model", "b", columns=120)
    assert "TOKENS IN" in printed(recorded, "usage", "--model", "b")


@given(st.lists(st.integers(0, 10**13), min_size=1, max_size=3000), st.integers(1, 100))
def test_a_percentile_is_within_half_a_percent(values: list[int], percent: int) -> None:
    durations = Durations()
    for value in values:
        durations.add(value)
    exact = sorted(values)[max(0, -(-len(values) * percent // 100) - 1)]
    found = durations.percentile(percent)
    assert found is not None
    assert found == exact if len(values) <= 512 else abs(found - exact) <= 0.0051 * exact + 1


def test_a_percentile_of_many_durations_is_within_half_a_percent() -> None:
    durations = Durations()
    for value in range(1, 20_001):
        durations.add(value * 1000)
    for percent in (1, 50, 95, 99, 100):
        found = durations.percentile(percent)
        assert found is not None
        assert abs(found - percent * 200_000) <= 0.0051 * percent * 200_000


def test_the_memory_of_the_sums_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_module, "_MOST_GROUPS", 100)
    tracemalloc.start()
    try:
        measures = (
            Measure((f"thread {number}",), is_error=False, is_cached=False, tokens=(1, 1), duration_ns=number)
            for number in range(30_000)
        )
        report = summed(measures, "thread")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000
    assert len(report.groups) == 101
    assert report.groups["(others)"].calls == 29_900
    assert report.total.calls == sum(group.calls for group in report.groups.values()) == 30_000


def test_forgotten_and_pruned_records_count_as_calls(recorded: Path) -> None:
    with Journal.open(recorded) as journal:
        journal.forget(next(journal.records(thread="2")).id)
        assert journal.usage().total.calls == 6
