"""`--exec`: a command for each request id, run without a shell until it succeeds."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from plsync.callbacks.command import Command
from plsync.callbacks.dispatcher import CallbackDispatcher
from plsync.callbacks.sinks import COMMAND
from plsync.journal import Journal
from tests.support.calls import wait_until, write_calls
from tests.support.spooling import SpoolWriter

RUN_ID = "3f2504e0-4f89-41d3-9a0c-0305e82c3301"


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    """A journal of six calls, in a directory with a space in its name."""
    path = tmp_path / "the journal"
    write_calls(path, 6)
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        yield journal


@contextlib.contextmanager
def delivering(journal: Journal, line: str, **options: Any) -> Iterator[CallbackDispatcher]:
    dispatcher = CallbackDispatcher(journal, command=Command(line, **options))
    dispatcher.start()
    try:
        yield dispatcher
    finally:
        assert dispatcher.stop(30)


def python(program: str, *arguments: str) -> str:
    """A command line that runs a Python program."""
    return shlex.join([sys.executable, "-S", "-c", program, *arguments])


LOG_RUN = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ)]), file=open('runs', 'a'))"


def runs() -> list[tuple[list[str], dict[str, str]]]:
    """Arguments and environment of each command that ran."""
    path = Path("runs")
    return [tuple(json.loads(line)) for line in path.read_text().splitlines()] if path.exists() else []


@pytest.fixture(autouse=True)
def _working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_each_placeholder_stays_within_one_argument(journal: Journal) -> None:
    line = python(LOG_RUN, "--id={request_id}", "{record_id}", "{journal}", '{"id": {request_id}}', "$HOME; exit 1")
    with delivering(journal, line) as dispatcher:
        journal.outbox.ack([(2, 4711)])
        assert dispatcher.finish(30)
        assert [report.delivered for report in dispatcher.reports()] == [1]
    ((arguments, _),) = runs()
    record = journal.get(4711)
    assert arguments == ["--id=4711", record.id, str(journal.path), '{"id": 4711}', "$HOME; exit 1"]


def test_the_environment_holds_the_ids_and_no_prompt(tmp_path: Path) -> None:
    writer = SpoolWriter(tmp_path / "journal")
    record_id = writer.call("a confidential prompt", "answer", at=1_790_000_000_000, run_id=RUN_ID)
    writer.close()
    with Journal.open(tmp_path / "journal") as journal:
        journal.ingest(wait=True)
        with delivering(journal, python(LOG_RUN, "{run_id}")) as dispatcher:
            journal.outbox.ack([(1, 7)])
            assert dispatcher.finish(30)
    ((arguments, environment),) = runs()
    assert arguments == [RUN_ID]
    variables = {name: value for name, value in environment.items() if name.startswith("PLSYNC_")}
    assert variables.pop("PLSYNC_ACKED_AT").endswith("+00:00")
    assert variables == {
        "PLSYNC_REQUEST_ID": "7",
        "PLSYNC_RECORD_ID": record_id,
        "PLSYNC_RUN_ID": RUN_ID,
        "PLSYNC_TRACE_ID": record_id.replace("-", ""),
        "PLSYNC_SPAN_ID": record_id.replace("-", "")[16:],
        "PLSYNC_JOURNAL": str(tmp_path / "journal"),
    }
    assert "confidential" not in json.dumps(environment)


def test_a_command_runs_for_each_id_after_its_first_run_and_for_none_before(journal: Journal) -> None:
    journal.outbox.ack([(1, 101)])
    line = python(LOG_RUN, "{request_id}")
    with delivering(journal, line) as dispatcher:
        journal.outbox.ack([(3, 103)])
        assert dispatcher.finish(30)
    # Ids that come while no command runs wait for one.
    journal.outbox.ack([(2, 102), (4, 104)])
    assert journal.stats().left["callbacks"] == 2
    with delivering(journal, line) as dispatcher:
        assert dispatcher.finish(30)
    assert [arguments for arguments, _ in runs()] == [["103"], ["102"], ["104"]]
    assert "callbacks" not in journal.stats().left


def test_a_command_that_fails_is_retried_later(journal: Journal) -> None:
    with delivering(journal, python("import sys; sys.exit(int(sys.argv[1]) % 2)", "{request_id}")) as dispatcher:
        journal.outbox.ack([(1, 1), (2, 2)])
        assert dispatcher.finish(30)
        (report,) = dispatcher.reports()
    assert (report.delivered, report.failed, report.errors) == (1, 1, ["exec ended with exit code 1"])
    (waiting,) = journal.callbacks.waiting()
    assert (waiting.sink, waiting.waiting, waiting.last_error) == (COMMAND, 1, "ended with exit code 1")


def test_a_failing_id_does_not_delay_the_next(journal: Journal) -> None:
    with delivering(journal, python(f"{LOG_RUN}; sys.exit(sys.argv[1] == '1')", "{request_id}")) as dispatcher:
        journal.outbox.ack([(1, 1)])
        assert dispatcher.finish(30)
        journal.outbox.ack([(2, 2), (3, 3)])
        assert dispatcher.finish(30)
    assert [arguments for arguments, _ in runs()] == [["1"], ["2"], ["3"]]


def test_the_error_of_a_killed_command_names_the_signal(journal: Journal) -> None:
    with delivering(journal, python("import os; os.kill(os.getpid(), 9)")) as dispatcher:
        journal.outbox.ack([(1, 1)])
        assert dispatcher.finish(30)
        (report,) = dispatcher.reports()
    assert report.errors == ["exec was ended by SIGKILL"]


CHILD = (
    "import subprocess, sys, time\n"
    "child = subprocess.Popen([sys.executable, '-S', '-c', 'import time; time.sleep(600)'])\n"
    "print(child.pid, file=open('child', 'w'), flush=True)\n"
    "time.sleep(600)\n"
)


def is_gone(pid: int) -> bool:
    """Whether a process has ended, or is a zombie."""
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat").read_text(encoding="ascii") if sys.platform == "linux" else ""
    except (ProcessLookupError, FileNotFoundError):
        return True
    return status.rpartition(")")[2].split()[:1] == ["Z"]


def test_a_command_that_takes_too_long_is_killed_with_its_children(journal: Journal) -> None:
    with delivering(journal, python(CHILD), timeout=1) as dispatcher:
        journal.outbox.ack([(1, 1)])
        assert dispatcher.finish(30)
        (report,) = dispatcher.reports()
    assert report.errors == ["exec took more than 1 s, and was stopped"]
    # A killed process ends when it is scheduled the next time.
    wait_until(lambda: is_gone(int(Path("child").read_text())))


def test_a_stop_kills_a_running_command_and_its_id_is_delivered_again(journal: Journal) -> None:
    dispatcher = CallbackDispatcher(journal, command=Command(python(CHILD)))
    dispatcher.start()
    journal.outbox.ack([(1, 1), (2, 2)])
    wait_until(lambda: Path("child").exists() and Path("child").read_text().endswith("\n"))
    began = time.monotonic()
    assert dispatcher.stop(30)
    assert time.monotonic() - began < 15
    wait_until(lambda: is_gone(int(Path("child").read_text())))
    with delivering(journal, python(LOG_RUN, "{request_id}")) as again:
        assert again.finish(30)
    assert [arguments for arguments, _ in runs()] == [["1"], ["2"]]


def test_a_command_has_no_input_and_writes_to_the_given_output(journal: Journal, tmp_path: Path) -> None:
    with (tmp_path / "output").open("wb") as output:
        line = python("import sys; print(repr(sys.stdin.read()))")
        with delivering(journal, line, stdout=output.fileno()) as dispatcher:
            journal.outbox.ack([(1, 1)])
            assert dispatcher.finish(30)
    assert (tmp_path / "output").read_text() == "''\n"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "an empty command"),
        ("echo 'open", "cannot be split"),
        ("echo {prompt}", "no value for {prompt}"),
        ("echo {request_id", "{request_id is no placeholder"),
        ("echo request_id}", "request_id} is no placeholder"),
        ("echo {request-id}", "{request-id} is no placeholder"),
        ("echo '{ RECORD_ID }'", "{ RECORD_ID } is no placeholder"),
        ("echo '{run_id: 7'", "{run_id is no placeholder"),
        ("no-such-program-anywhere {request_id}", "no program 'no-such-program-anywhere'"),
    ],
)
def test_an_invalid_command_is_refused_at_once(line: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Command(line)


@pytest.mark.parametrize(
    "line", ["""echo '{"request_id": {request_id}}'""", "awk '{print $1}'", "echo request_id {{request_id}}", "echo {}"]
)
def test_braces_that_belong_to_no_placeholder_are_allowed(line: str) -> None:
    assert Command(line).arguments


def test_a_program_that_has_been_removed_counts_as_a_failure(journal: Journal, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o700)
    command = Command(str(program))
    program.unlink()
    dispatcher = CallbackDispatcher(journal, command=command)
    dispatcher.start()
    journal.outbox.ack([(1, 1)])
    assert dispatcher.finish(30)
    (report,) = dispatcher.reports()
    assert report.errors[0].startswith("exec could not be run: ")
    assert dispatcher.stop(30)
