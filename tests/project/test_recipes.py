"""The three recipes of docs/replay/recipes.md: recordings, replays and failures are as the page describes them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support import programs
from tests.support.commands import PYTEST_QUICKLY
from tests.support.openai_server import OpenAIServer
from tests.support.root import ROOT
from tests.support.snippets import snippets_of

KEY = "sk-a-key-that-is-nobodys"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer("4") as server:
        yield server


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs a command line, with a server that answers as OpenAI does or without any."""

    def run(*command: str, server: OpenAIServer | None = None) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        environment = {
            **{"PATH": path, "HOME": str(tmp_path), "PLSYNC_JOURNAL": str(tmp_path / "journal")},
            **{"PYTEST_ADDOPTS": f"-p no:cacheprovider {PYTEST_QUICKLY}", "PYTHONDONTWRITEBYTECODE": "1"},
            **({"OPENAI_BASE_URL": server.url, "OPENAI_API_KEY": KEY} if server else {}),
        }
        return programs.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    return run


def write(directory: Path, *names: str) -> None:
    files = snippets_of(ROOT / "docs" / "replay" / "recipes.md")[1]
    for name in names:
        (directory / name).write_text(files[name], encoding="utf-8")


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_the_suite_of_a_rag_chain(tmp_path: Path, run: Run, server: OpenAIServer) -> None:
    write(tmp_path, "rag.py", "test_rag.py")
    recorded = run("pytest", "--plsync-record=once", server=server)
    assert "3 passed" in recorded.stdout, recorded.stdout
    # The notes, and three questions of which two are answered.
    assert len(server.requests) == 6
    recordings = {path.name: path.read_text() for path in sorted((tmp_path / "recordings").rglob("*.jsonl"))}
    assert len(recordings) == 4
    assert recordings["test_rag.jsonl"].count('"document"') == 3
    assert not any(KEY in text for text in recordings.values())

    replayed = run("pytest", "--plsync-block-network")
    assert "3 passed" in replayed.stdout, replayed.stdout
    assert "plsync: 0 recorded, 8 replayed, 0 missed, 0 unused" in replayed.stdout

    edit(tmp_path / "rag.py", "Answer with a number", "Answer with one word")
    changed = run("pytest", "--plsync-block-network")
    assert "1 passed, 2 failed" in changed.stdout or "2 failed, 1 passed" in changed.stdout
    shown = [line.removeprefix("E").strip() for line in changed.stdout.splitlines()]
    assert "-messages[0].content: Answer with a number, from these notes only:" in shown
    assert "+messages[0].content: Answer with one word, from these notes only:" in shown

    again = run("pytest", "--plsync-record=all", server=server)
    assert "3 passed" in again.stdout
    assert "plsync: 8 recorded, 0 replayed, 0 missed, 0 unused" in again.stdout


def test_a_failure_in_the_field_becomes_a_test(tmp_path: Path, run: Run, server: OpenAIServer) -> None:
    write(tmp_path, "forecast.py", "test_forecast.py")
    failed = run(sys.executable, "forecast.py", server=server)
    assert "TypeError: 'NoneType' object is not subscriptable" in failed.stderr
    exported = run("plsync", "export", "--recording", "field.jsonl", "--tag", "forecast")
    assert exported.stdout.startswith("2 calls written to field.jsonl"), exported.stderr
    assert KEY not in (tmp_path / "field.jsonl").read_text()

    before = run("pytest", "--plsync-block-network", "test_forecast.py")
    assert "TypeError: 'NoneType' object is not subscriptable" in before.stdout
    edit(tmp_path / "forecast.py", r"(\d+) degrees", r"(\d+)")
    after = run("pytest", "--plsync-block-network", "test_forecast.py")
    assert "1 passed" in after.stdout, after.stdout
    assert len(server.requests) == 2


def test_a_demo_at_the_recorded_pace(tmp_path: Path, run: Run, server: OpenAIServer) -> None:
    write(tmp_path, "demo.py")
    server.text = "Why did the cassette cross the road? To replay the other side!"
    rehearsed = run(sys.executable, "demo.py", "--record", server=server)
    assert rehearsed.stdout == f"{server.text}\n", rehearsed.stderr
    path = tmp_path / "demo.jsonl"
    assert len(json.loads(path.read_text().splitlines()[1])["answer"]["chunks"]) > 12
    # The server was quick; a model is not.
    path.write_text(re.sub(r'"ms":\[.*?\]', lambda found: re.sub(r"\d+", "100", found[0]), path.read_text()))
    begin = time.monotonic()
    shown = run(sys.executable, "demo.py")
    assert shown.stdout == f"{server.text}\n", shown.stderr
    assert time.monotonic() - begin > 1.2
