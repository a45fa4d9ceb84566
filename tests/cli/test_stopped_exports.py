"""Exports that a signal ends: a clear message, the exit code of a shell, and nothing half-written."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest

from plsync.cli import main
from plsync.journal import Record
from tests.support.collector import Collector
from tests.support.commands import run
from tests.support.spooling import SpoolWriter

T = 1_760_000_000_000
DAY = 86_400_000
# Sends a signal to its process when it gets the third record.
HOOKS = """
import os, signal

def _stop(number, row):
    if row["conversation_id"] == "thread 2":
        os.kill(os.getpid(), number)
    return row

def sigint(row):
    return _stop(signal.SIGINT, row)

def sigterm(row):
    return _stop(signal.SIGTERM, row)

def sighup(row):
    return _stop(signal.SIGHUP, row)
"""
CODES = {"sigint": 130, "sigterm": 143, "sighup": 129}


@pytest.fixture
def hooks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, whose hooks send signals."""
    (tmp_path / "hooks.py").write_text(HOOKS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def journal(path: Path, hooks: Path) -> Path:
    """A journal with a call on each of four days, each with 1 MB."""
    writer = SpoolWriter(path)
    for number in range(4):
        writer.call("far " * 280_000, "far", at=T + number * DAY, metadata={"thread_id": f"thread {number}"})
    writer.close()
    return path


def stopped(journal: Path, kind: str, *arguments: str) -> str:
    """The error output of an export that this signal ends."""
    done = run(journal, "export", *arguments, "--redact", f"hooks:{kind}")
    assert (done.returncode, done.stdout) == (CODES[kind], ""), done.stderr
    assert done.stderr.count("\n") == 1
    return done.stderr


@pytest.mark.parametrize("kind", CODES)
def test_a_lake_has_whole_files(journal: Path, hooks: Path, kind: str) -> None:
    lake = hooks / "lake"
    assert stopped(journal, kind, "--parquet", "lake") == (
        "plsync: stopped; every file in lake is whole: --since-last writes the other days\n"
    )
    assert len(list(lake.glob("date=*/*.parquet"))) == 2
    assert list(lake.glob("date=*/.*")) == []


def spans(file: Path) -> list[Any]:
    found = map(orjson.loads, file.read_bytes().splitlines())
    return [one for line in found for one in line["resourceSpans"][0]["scopeSpans"][0]["spans"]]


def test_a_new_file_of_spans_is_not_there(journal: Path, hooks: Path) -> None:
    before = {*hooks.iterdir(), hooks / "__pycache__"}
    assert stopped(journal, "sigterm", "--otlp", "spans.jsonl") == "plsync: stopped; nothing was exported\n"
    assert {*hooks.iterdir(), hooks / "__pycache__"} == before


def test_a_file_of_spans_has_whole_lines_and_the_same_command_continues(journal: Path, hooks: Path) -> None:
    text = stopped(journal, "sigint", "--otlp", "spans.jsonl", "--since-last")
    assert text == "plsync: stopped; the spans before are exported: the same command continues behind them\n"
    assert len(spans(hooks / "spans.jsonl")) == 2


def test_a_collector_has_the_spans_before_and_the_same_command_continues(journal: Path) -> None:
    with Collector() as collector:
        to = ("--otlp", collector.url, "--since-last")
        assert "the same command continues behind them" in stopped(journal, "sigterm", *to)
        assert len(collector.spans) == 2
        # The hook is part of the choice, and so is its cursor.
        (Path.cwd() / "hooks.py").write_text("def sigterm(row): return row\n")
        assert run(journal, "export", *to, "--redact", "hooks:sigterm").returncode == 0
        assert len({one.span_id for one in collector.spans}) == len(collector.spans) == 4


@pytest.mark.parametrize("option", ["--recording", "--html"])
def test_a_recording_and_a_page_are_not_there(
    journal: Path, hooks: Path, option: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopping(record: Record) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return 0

    monkeypatch.setattr(Record, "events", stopping)
    monkeypatch.setattr(Record, "seq", property(stopping))
    before = {*hooks.iterdir(), hooks / "__pycache__"}
    monkeypatch.setattr(sys, "argv", ["plsync", "export", option, "file", "--journal", str(journal)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 143
    assert capsys.readouterr().err == "plsync: stopped; nothing was written\n"
    assert {*hooks.iterdir(), hooks / "__pycache__"} == before
