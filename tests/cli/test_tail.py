"""``plsync tail``: the newest records, and with ``-f`` new records."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import programs
from tests.support.commands import PLSYNC, environment, json_lines, printed, run
from tests.support.spooling import SpoolWriter

T = 1_760_000_000_000


class TailProcess:
    """A ``plsync tail -f`` process that runs during the test."""

    def __init__(self, journal: Path, *options: str) -> None:
        command = [str(PLSYNC), "tail", "-f", *options]
        self.process: subprocess.Popen[str] = programs.Popen(
            command, env=environment(journal), stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def record(self) -> dict[str, Any]:
        return dict(json.loads(self.line()))

    def note(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    def interrupt(self) -> tuple[int, str, str]:
        self.process.send_signal(signal.SIGINT)
        output, errors = self.process.communicate(timeout=30)
        return self.process.returncode, output, errors


@pytest.fixture
def following(path: Path, writer: SpoolWriter) -> Iterator[TailProcess]:
    started = TailProcess(path, "--json", "--tag", "mine", "-n", "2")
    yield started
    started.process.kill()
    started.process.communicate()


def test_tail_shows_the_newest_records_newest_last(writer: SpoolWriter, path: Path) -> None:
    written = [writer.call(f"prompt {number}", "b", at=T + number) for number in range(12)]
    assert [record["id"] for record in json_lines(path, "tail")] == written[2:]
    first, last = printed(path, "tail", "-n", "2").splitlines()
    assert first.endswith("prompt 10")
    assert last.endswith("prompt 11")


def test_tail_f_shows_new_records_and_again_when_they_end(writer: SpoolWriter, following: TailProcess) -> None:
    before = writer.call("a", "b", at=T, tags=["mine"])
    assert following.record()["id"] == before
    writer.call("a", "b", at=T + 1, tags=["theirs"])
    running = writer.start({"kind": "llm", "prompts": ["?"]}, at=T + 2, tags=["mine"])
    shown = following.record()
    assert (shown["id"], shown["status"]) == (running, "pending")
    writer.end(running, {}, ended="error")
    shown = following.record()
    assert (shown["id"], shown["status"]) == (running, "error")


def test_tail_f_shows_a_running_call_again_when_it_ends(writer: SpoolWriter, path: Path) -> None:
    running = writer.start({"kind": "llm", "prompts": ["slow?"]}, at=T)
    tail = TailProcess(path)
    assert "running" in tail.line()
    writer.end(running, {}, ended="ok")
    assert "ok" in tail.line()
    assert tail.interrupt() == (0, "", "")


def test_an_interrupt_ends_tail_f_quietly(writer: SpoolWriter, following: TailProcess) -> None:
    writer.call("a", "b", at=T, tags=["mine"])
    assert following.record()["status"] == "ok"
    assert following.interrupt() == (0, "", "")


def test_tail_f_waits_for_a_missing_journal(path: Path) -> None:
    tail = TailProcess(path, "--json")
    try:
        assert tail.note() == f"plsync: there is no journal at {path} yet; waiting for the first call\n"
        writer = SpoolWriter(path)
        for number in range(2):
            written = writer.call("a", "b", at=T + number)
            assert tail.record()["id"] == written
        writer.close()
        assert tail.interrupt() == (0, "", "")
    finally:
        tail.process.kill()
        tail.process.communicate()


def test_an_interrupt_ends_the_wait_for_a_journal(path: Path) -> None:
    tail = TailProcess(path)
    assert "waiting" in tail.note()
    assert tail.interrupt() == (0, "", "")


def test_without_f_a_missing_journal_is_an_error(path: Path) -> None:
    done = run(path, "tail")
    assert done.returncode == 1
    assert "no journal at" in done.stderr
