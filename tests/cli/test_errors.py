"""Errors of the command: one line, with the reason and the next step."""

from __future__ import annotations

import os
import re
import threading
import warnings
from pathlib import Path

import pytest
from rich.cells import cell_len

from plsync import PromptLayerCallbackHandler
from plsync.cli import main
from tests.support.commands import run
from tests.support.models import Chat
from tests.support.spooling import SpoolWriter

T = 1_760_000_000_000


@pytest.mark.parametrize("command", ["status", "list", "tail", "check"])
def test_a_missing_journal_is_an_error_of_one_line(tmp_path: Path, command: str) -> None:
    for arguments in ([command], [command, "--json"]):
        done = run(tmp_path / "none", *arguments)
        assert (done.returncode, done.stdout) == (1, "")
        assert re.fullmatch(r"plsync: no journal at \S+; .*record a call first\n", done.stderr)
    assert list(tmp_path.iterdir()) == []


def test_another_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    done = run(tmp_path, "list")
    assert done.returncode == 1
    assert re.fullmatch(
        r"plsync: \S+ is not a journal: it holds other files .*; nothing was changed; .*\n", done.stderr
    )


def test_the_error_of_a_journal_without_its_marker_names_salvage(path: Path, tmp_path: Path) -> None:
    Chat().invoke("hi", {"callbacks": [PromptLayerCallbackHandler(journal=path)]})
    (path / "FORMAT").unlink()
    done = run(path, "list")
    assert done.returncode == 1
    assert "`plsync salvage` reads the rest" in done.stderr
    assert run(path, "salvage", str(path), str(tmp_path / "saved")).returncode in {0, 1}
    assert "hi" in run(tmp_path / "saved", "list").stdout


def test_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("dear")
    done = run(tmp_path / "file", "status")
    assert done.returncode == 1
    assert re.fullmatch(r"plsync: \S+ is not a journal: it is a file.*; nothing was changed; .*\n", done.stderr)


def test_a_journal_of_a_newer_plsync_is_refused_and_unchanged(writer: SpoolWriter, path: Path) -> None:
    marker = path / "FORMAT"
    marker.write_text(marker.read_text().replace("format 1", "format 99"))
    done = run(path, "status")
    assert done.returncode == 1
    assert re.fullmatch(
        r"plsync: \S+ was written by a newer plsync: it has format 99, .*; nothing was changed; upgrade plsync\n",
        done.stderr,
    )


def test_the_error_of_a_damaged_marker_names_salvage(writer: SpoolWriter, path: Path) -> None:
    (path / "FORMAT").write_text("plsynk journal")
    done = run(path, "status")
    assert done.returncode == 1
    assert "`plsync salvage` reads the rest" in done.stderr


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_a_journal_without_read_permission_is_an_error_of_one_line(writer: SpoolWriter, path: Path) -> None:
    path.chmod(0)
    try:
        done = run(path, "status", "--journal", str(path))
    finally:
        path.chmod(0o700)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"plsync: cannot read \S+: Permission denied.*; .*run as its owner.*\n", done.stderr)


@pytest.mark.parametrize("wrong", ["ffffffff", "zz", "1"])
def test_an_unknown_id_is_an_error_of_one_line(writer: SpoolWriter, path: Path, wrong: str) -> None:
    done = run(path, "show", wrong)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"plsync: .*\n", done.stderr)


@pytest.mark.parametrize("command", [["show"], ["retry"], ["export", "--recording", "calls.jsonl"]], ids=" ".join)
def test_an_ambiguous_id_is_listed_with_time_model_and_input(
    writer: SpoolWriter, path: Path, tmp_path: Path, command: list[str]
) -> None:
    prompts = ["What is\nthe capital of France?", "\x1b[2J日本語" + "x" * 300, "third"]
    written = [writer.call(text, "b", at=T + n, params={"model": "gpt-4o"}) for n, text in enumerate(prompts)]
    prefix = written[0][:8]
    done = run(path, *command, prefix, COLUMNS="100")
    assert (done.returncode, done.stdout) == (1, "")
    heading, *lines, hint = done.stderr.splitlines()
    assert heading == f"plsync: {prefix} names more than one record:"
    assert hint == "Use one of these ids, or more digits."
    shown = dict(line.split(None, 1) for line in lines)
    assert [key for short in shown for key in written if key.startswith(short)] == written
    first, second, third = shown.values()
    assert first == "2025-10-09 08:53:20  gpt-4o  What is the capital of France?"
    assert second.startswith(r"2025-10-09 08:53:20  gpt-4o  \x1b[2J日本語xxx")
    assert third.endswith("gpt-4o  third")
    assert all(cell_len(line) <= 100 for line in lines)


def test_many_candidates_are_counted(writer: SpoolWriter, path: Path) -> None:
    written = [writer.call("a", "b", at=T) for _ in range(25)]
    lines = run(path, "show", written[0][:8]).stderr.splitlines()
    assert len(lines) == 23
    assert lines[-2] == "... and more records"


@pytest.mark.parametrize("command", [["show"], ["retry"], ["export", "--recording", "calls.jsonl"]], ids=" ".join)
def test_a_malformed_id_is_reported_with_its_reason(writer: SpoolWriter, path: Path, command: list[str]) -> None:
    written = writer.call("a", "b", at=T)
    for wrong, reason in (
        (written + "00", "it has 34 hex digits, and a whole id has 32"),
        ("zz", "ids are hex digits"),
        ("01", "use at least 4 of its digits"),
    ):
        done = run(path, *command, wrong)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert reason in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["show", "0199", "0200"],
        ["list", "--state", "gone"],
        ["list", "--since", "someday"],
        ["list", "-n", "-1"],
        ["list", "--text", "in Latin-1: \udce9"],
        ["run", "--once", "--settle", "inf"],
    ],
)
def test_wrong_usage_exits_with_2(path: Path, arguments: list[str]) -> None:
    done = run(path, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"plsync\b.*: .*\n", done.stderr)


def test_an_interrupt_before_a_command_begins_ends_it_quietly(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("plsync.cli.app", interrupted)
    # The command replaces them for its process.
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 130
