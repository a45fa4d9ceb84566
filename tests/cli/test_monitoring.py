"""``plsync status`` for monitoring: the check with its exit codes, and metrics that Prometheus' own parser reads."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from plsync._common.clock import now_ms
from plsync.delivery.lock import sole_sender
from plsync.journal import Journal
from plsync.journal.followups import FailedFollowUp
from tests.support import programs
from tests.support.calls import AT
from tests.support.commands import PLSYNC, environment, json_lines, printed, run
from tests.support.full_disk import small_disk
from tests.support.root import ROOT
from tests.support.spooling import SpoolWriter

WITHOUT_SENDER = ("--max-silence", "none")


def check(path: Path, *options: str) -> tuple[int, str]:
    """The exit code and the line of a check."""
    done = run(path, "status", "--check", *options)
    assert done.stderr == ""
    (line,) = done.stdout.splitlines()
    return done.returncode, line


@pytest.fixture
def recorded(path: Path) -> Path:
    """A journal with a call of just now."""
    record(path)
    return path


def record(path: Path, hours: int = 0) -> None:
    """Record a call of some hours ago, as a process that has ended."""
    writer = SpoolWriter(path)
    writer.call("question", "answer", at=now_ms() - hours * 3_600_000 - 1)
    writer.close()


def test_a_healthy_journal_is_one_line_and_exit_code_0(recorded: Path) -> None:
    with sole_sender(recorded) as lock:
        lock.report("idle")
        code, line = check(recorded)
    assert code == 0
    assert re.match(
        r"plsync OK: 1 record, the oldest unsent for \d+ s, process \d+, alive .* ago, idle, .* free$", line
    )


def test_an_old_unsent_record_is_a_problem(path: Path, writer: SpoolWriter) -> None:
    writer.call("question", "answer", at=AT)  # a year ago
    code, line = check(path, *WITHOUT_SENDER)
    assert code == 4
    assert line.startswith("plsync PROBLEM: the oldest unsent record is ")
    assert line.endswith(" old (limit 1 h)")
    assert check(path, *WITHOUT_SENDER, "--max-unsent", "none")[0] == 0
    assert check(path, *WITHOUT_SENDER, "--max-unsent", "5000w")[0] == 0


def test_refused_and_running_calls_are_not_unsent(path: Path, writer: SpoolWriter) -> None:
    writer.call("question", "answer", at=AT)
    writer.start({"kind": "chat", "messages": [], "run_id": None}, at=AT)
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        journal.outbox.park([1], "dead", "bad role")
    code, line = check(path, *WITHOUT_SENDER)
    assert (code, line) == (4, "plsync PROBLEM: 1 refused, held or given up (limit 0)")
    assert check(path, *WITHOUT_SENDER, "--max-refused", "1")[0] == 0


def test_a_refused_follow_up_is_a_problem(recorded: Path) -> None:
    with Journal.open(recorded) as journal:
        journal.track.score(4711, 90)
        (one,) = journal.followups.claim(1, 0, AT)
        journal.followups.failed([FailedFollowUp(one.key, "404", 0, dead=True)])
    assert check(recorded, *WITHOUT_SENDER)[0] == 4


def test_without_a_sender_or_with_a_silent_one_the_check_fails(recorded: Path) -> None:
    assert check(recorded) == (4, "plsync PROBLEM: no sender has ever run (limit 10 min)")
    with sole_sender(recorded):
        assert check(recorded)[0] == 0
        assert "is silent for" in check(recorded, "--max-silence", "0s")[1]
    # A run from cron has ended, and was there within the limit.
    assert check(recorded)[0] == 0
    code, line = check(recorded, "--max-silence", "0s")
    assert (code, line.startswith("plsync PROBLEM: no sender for ")) == (4, True)


def test_a_lost_event_is_a_problem(recorded: Path) -> None:
    (writer_file,) = (recorded / "spool").glob("*.lock")
    content = bytearray(writer_file.read_bytes())
    content[16:24] = (3).to_bytes(8, "little")
    writer_file.write_bytes(content)
    code, line = check(recorded, *WITHOUT_SENDER)
    assert (code, "3 losses of events (limit 0)" in line) == (4, True)
    assert check(recorded, *WITHOUT_SENDER, "--max-failures", "3")[0] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a small file system")
def test_little_disk_space_is_a_problem(tmp_path: Path) -> None:
    with small_disk(tmp_path) as disk:
        record(disk / "journal")
        code, line = check(disk / "journal", *WITHOUT_SENDER)
        assert (code, "of disk space free (limit 100.0 MB)" in line) == (4, True)
        assert check(disk / "journal", *WITHOUT_SENDER, "--min-free", "1MB")[0] == 0


def test_a_check_with_json_lists_the_problems(recorded: Path) -> None:
    done = run(recorded, "status", "--check", "--json")
    (found,) = map(json.loads, done.stdout.splitlines())
    assert (done.returncode, found["ok"]) == (4, False)
    (problem,) = found["problems"]
    assert (problem["check"], problem["journal"], problem["workspace"]) == ("silence", str(recorded), None)


def test_a_check_without_a_journal_is_an_error_and_no_result(path: Path) -> None:
    assert run(path, "status", "--check").returncode == 1
    assert run(path, "status", "--check", "--max-unsent", "soon").returncode == 2
    assert run(path, "status", "--output", "file").returncode == 2


def test_workspaces_are_checked_and_measured_together(tmp_path: Path) -> None:
    config = tmp_path / "plsync.toml"
    config.write_text(
        f'[workspaces.red]\njournal = "{tmp_path}/red"\nkey = {{ variable = "K" }}\n'
        f'[workspaces.blue]\njournal = "{tmp_path}/blue"\nkey = {{ variable = "K" }}\n'
    )
    record(tmp_path / "red")
    settings = {**environment(tmp_path), "PLSYNC_CONFIG": str(config)}
    del settings["PLSYNC_JOURNAL"]
    command = [*programs.PLSYNC_IN_PYTHON, "status"]
    done = programs.run([*command, "--check"], env=settings, capture_output=True, text=True, check=False, timeout=60)
    expected = "red: no sender has ever run (limit 10 min); blue: no sender has ever run (limit 10 min)"
    assert (done.returncode, done.stdout) == (4, f"plsync PROBLEM: {expected}\n")
    done = programs.run(
        [*command, "--format", "prometheus"], env=settings, capture_output=True, text=True, check=False, timeout=60
    )
    assert 'workspace="red"' in done.stdout


PAGE = (ROOT / "docs" / "guide" / "monitoring.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("hours", "code"), [(0, 0), (2, 1), (5, 2), (None, 3)])
def test_the_plugin_of_the_docs_maps_the_exit_codes(
    path: Path, hours: int | None, code: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if hours is not None:
        record(path, hours)
        Journal.open(path).close()
        with sole_sender(path):
            pass
    (script,) = re.findall(r"```sh\n(#!/bin/sh\n.*?)```", PAGE, re.DOTALL)
    settings = {**environment(path), "PATH": f"{PLSYNC.parent}:{os.environ['PATH']}"}
    settings["PATH"] = programs.add_commands(tmp_path_factory.mktemp("commands"), settings)
    done = programs.run(
        ["/bin/sh", "-c", script], env=settings, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout.count("\n"), done.stderr) == (code, 1, "")


def test_the_docs_name_every_metric_and_no_other(recorded: Path) -> None:
    families = text_string_to_metric_families(printed(recorded, "status", "--format", "prometheus"))
    names = {f"{family.name}_total" if family.type == "counter" else family.name for family in families}
    assert set(re.findall(r"plsync_[a-z_]+", PAGE)) == names


# --- heartbeat ---


def test_the_status_names_the_last_heartbeat_of_the_sender(recorded: Path) -> None:
    with sole_sender(recorded) as lock:
        lock.report("idle")
        (sender,) = [found["sender"] for found in json_lines(recorded, "status")]
        assert (sender["pid"], sender["activity"]) == (os.getpid(), "idle")
        assert abs(time.time() - sender["alive"]) < 60
        assert "s ago, idle" in printed(recorded, "status")


def test_a_lock_file_of_an_earlier_version_has_no_heartbeat(recorded: Path) -> None:
    with sole_sender(recorded):
        old = json.dumps({"pid": 1, "since": 1.0, "doing": "idle"}).ljust(4095) + "\n"
        (recorded / "sync.lock").write_text(old)
        assert "process 1, idle" in printed(recorded, "status")
        assert check(recorded)[0] == 0


# --- metrics ---


def metrics(text: str) -> dict[str, dict[tuple[str, ...], float]]:
    """The numbers by metric and by the values of further labels, read by Prometheus' parser."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        assert family.type in {"counter", "gauge"}
        for sample in family.samples:
            own = tuple(value for name, value in sample.labels.items() if name not in {"journal", "workspace"})
            found.setdefault(sample.name, {})[own] = sample.value
    return found


@pytest.fixture
def measured(path: Path, writer: SpoolWriter) -> Iterator[Path]:
    for number in range(3):
        writer.call(f"secret question {number}", "secret answer", at=AT + number, tags=["secret tag"])
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        journal.outbox.ack([(1, 70)])
        journal.outbox.park([2], "dead", "secret reason")
        journal.track.score(70, 90)
        journal.track.metadata(4711, {"secret": "value"})
    with sole_sender(path) as lock:
        lock.report("waiting: offline")
        yield path


def test_metrics_have_the_numbers_of_the_journal(measured: Path) -> None:
    found = metrics(printed(measured, "status", "--format", "prometheus"))
    records = found["plsync_records"]
    assert {state[0]: number for state, number in records.items() if number} == {"acked": 1, "dead": 1, "pending": 1}
    assert found["plsync_followups"] == {("pending",): 2, ("dead",): 0, ("sent",): 0}
    assert found["plsync_oldest_unsent_timestamp_seconds"][()] == pytest.approx(AT / 1000, abs=1)
    assert (found["plsync_sender_up"][()], found["plsync_sender_waiting"][()]) == (1, 1)
    assert abs(time.time() - found["plsync_sender_heartbeat_timestamp_seconds"][()]) < 60
    assert found["plsync_recording_failures_total"] == {(): 0}
    assert found["plsync_disk_free_bytes"][()] > 0
    assert "plsync_quota_bytes" not in found


def test_metrics_have_no_content_of_a_call(measured: Path) -> None:
    assert "secret" not in printed(measured, "status", "--format", "prometheus")


def test_a_file_of_metrics_is_replaced_in_one_step_and_readable(measured: Path, tmp_path: Path) -> None:
    target = tmp_path / "plsync.prom"
    target.write_text("old")
    with open(target) as opened:
        before = os.umask(0o077)
        try:
            assert printed(measured, "status", "--format", "prometheus", "--output", str(target)) == ""
        finally:
            os.umask(before)
        assert opened.read() == "old", "a reader of the old file reads all of it"
    assert "plsync_records" in metrics(target.read_text())
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert [name for name in os.listdir(tmp_path) if "prom" in name] == ["plsync.prom"]


def test_the_error_of_a_file_of_metrics_names_the_file(measured: Path, tmp_path: Path) -> None:
    missing = tmp_path / "none" / "plsync.prom"
    done = run(measured, "status", "--format", "prometheus", "--output", str(missing))
    assert done.returncode == 1
    assert done.stderr.startswith(f"plsync: No such file or directory: {missing}; ")


def test_a_device_is_not_replaced_by_metrics(recorded: Path) -> None:
    done = run(recorded, "status", "--format", "prometheus", "--output", os.devnull)
    assert (done.returncode, "is no regular file" in done.stderr) == (1, True)
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)


def test_without_the_package_the_error_names_the_extra(recorded: Path) -> None:
    code = "import sys; sys.modules['prometheus_client'] = None; from plsync.cli import main; main()"
    command = [sys.executable, "-c", code, "status", "--format", "prometheus"]
    done = programs.run(command, env=environment(recorded), capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert "pip install 'plsync[prometheus]'" in done.stderr
