"""Backups: whole, checked copies of a journal in use. A restored copy sends nothing twice."""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from langchain_core.language_models import FakeListLLM

from plsync import Journal, PromptLayerCallbackHandler
from plsync.errors import JournalError, JournalFormatError, JournalLocked
from plsync.testing import PromptLayerServer
from tests.support import programs
from tests.support.calls import AT, write_calls
from tests.support.commands import json_lines, run
from tests.support.full_disk import fill, small_disk
from tests.support.sending import send_once
from tests.support.spooling import SpoolWriter
from tests.support.users import STRANGER, as_user, needs_root, public_directory


def exported(path: Path) -> dict[str, dict[str, object]]:
    with Journal.open(path) as journal:
        return {record.id: record.as_dict() for record in journal.records()}


def test_the_copy_has_every_record_and_is_for_its_owner_only(path: Path, writer: SpoolWriter, tmp_path: Path) -> None:
    for number in range(20):
        writer.call(f"question {number}", f"answer {number}", at=AT + number, tags=["kept"])
    running = writer.start({"kind": "llm", "prompts": ["?"]}, at=AT + 100)
    with Journal.open(path) as journal:
        journal.track.score(journal.get(running).id, 10)
        report = journal.backup(tmp_path / "copy")
        assert (report.ok, report.records, report.events) == (True, 21, 41)
        before = exported(path)
        with Journal.open(tmp_path / "copy") as copy:
            assert copy.id == journal.id
            # The process of the running call writes to the journal, and not to the copy.
            assert copy.get(running).stored_end() == "abandoned"
            assert copy.stats().followups == 1
    after = exported(tmp_path / "copy")
    assert {id: after[id] for id in before if id != running} == {id: before[id] for id in before if id != running}
    modes = {stat.S_IMODE(found.stat().st_mode) for found in (tmp_path / "copy").rglob("*") if found.is_file()}
    directories = {stat.S_IMODE(found.stat().st_mode) for found in (tmp_path / "copy").rglob("*") if found.is_dir()}
    assert (modes, directories | {stat.S_IMODE((tmp_path / "copy").stat().st_mode)}) == ({0o600}, {0o700})
    assert not (tmp_path / "copy.partial").exists()
    assert json_lines(tmp_path / "copy", "check")[0]["ok"]


def test_a_directory_with_files_is_not_touched(path: Path, tmp_path: Path) -> None:
    write_calls(path, 1)
    target = tmp_path / "copy"
    target.mkdir()
    (target / "letter").write_text("dear")
    (tmp_path / "other.partial").mkdir()
    (tmp_path / "other.partial" / "letter").write_text("dear")
    with Journal.open(path) as journal:
        with pytest.raises(JournalFormatError, match="exists; nothing was changed"):
            journal.backup(target)
        with pytest.raises(JournalFormatError, match="letter exists"):
            journal.backup(tmp_path / "other")
        with pytest.raises(JournalError, match="inside the journal"):
            journal.backup(path / "copy")
        (target / "letter").unlink()
        assert journal.backup(target).ok
    assert (tmp_path / "other.partial" / "letter").read_text() == "dear"


@needs_root
@pytest.mark.parametrize("target", ["copy", "closed/copy", "closed/deep/copy", "missing/copy"])
def test_a_directory_that_this_user_cannot_write_to_is_named_with_the_remedy(target: str) -> None:
    with public_directory() as place:
        (place / "closed").mkdir(mode=0o700)
        (place / "own").mkdir()
        os.chown(place / "own", STRANGER, STRANGER)

        def back_up() -> None:
            write_calls(place / "own" / "journal", 1)
            with Journal.open(place / "own" / "journal") as journal:
                journal.backup(place / target)

        error = as_user(STRANGER, back_up)
        assert isinstance(error, JournalError)
        assert str(error) == (
            f"cannot write {place / target}: Permission denied; nothing was changed: choose a directory that this user "
            "can write to"
        )


def test_without_room_nothing_is_left(path: Path, tmp_path: Path) -> None:
    writer = SpoolWriter(path)
    for number in range(50):
        writer.call(f"{time.time_ns()} " * 2000, "answer", at=AT + number)
    writer.close()
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, "1m"), Journal.open(path) as journal:
        with pytest.raises(JournalError, match=r"free bytes, and the copy needs \d+; nothing was changed"):
            journal.backup(disk / "copy")
        assert list(disk.iterdir()) == []


def test_a_journal_on_a_full_disk_is_copied_with_its_newest_events(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk):
        path = disk / "journal"
        model = FakeListLLM(responses=["Paris"], callbacks=[PromptLayerCallbackHandler(journal=path)])
        model.invoke("before")
        with Journal.open(path) as journal:
            journal.ingest(wait=True)
            fill(disk)
            model.invoke("x" * 4000)
            # A nearly full disk may still have room for an ingest. Else the event is copied with its segment.
            assert journal.backup(tmp_path / "copy").ok
    with Journal.open(tmp_path / "copy") as copy:
        assert sorted(record.input[0][:6] for record in copy.records()) == ["before", "xxxxxx"]


RECORDING = """
import sys
from langchain_core.language_models import FakeListLLM
from plsync import PromptLayerCallbackHandler
model = FakeListLLM(responses=["Paris"], callbacks=[PromptLayerCallbackHandler(journal=sys.argv[1])])
number = 0
while True:
    model.invoke(f"question {number}")
    print(number, flush=True)
    number += 1
"""


def test_a_copy_of_a_journal_in_use_has_all_that_came_before(
    path: Path, tmp_path: Path, server: PromptLayerServer
) -> None:
    command = [sys.executable, "-c", RECORDING, str(path)]
    with programs.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        try:
            assert child.stdout
            for number in range(3):
                last = int([child.stdout.readline() for _ in range(40)][-1])
                with Journal.open(path) as journal:
                    assert journal.backup(tmp_path / f"copy-{number}").ok
                send_once(path, server)
                with Journal.open(tmp_path / f"copy-{number}") as copy:
                    inputs = {record.input[0] for record in copy.records()}
                    assert inputs >= {f"question {number}" for number in range(last + 1)}
                    assert copy.check().problems == []
        finally:
            child.kill()
            child.stdout.read() if child.stdout else None


BACKUP = """
import sys
from plsync import Journal
with Journal.open(sys.argv[1]) as journal:
    print("ready", flush=True)
    sys.stdin.readline()
    journal.backup(sys.argv[2])
"""


@pytest.mark.parametrize("delay", [0, 0.001, 0.003, 0.006])
def test_a_killed_backup_leaves_no_copy_and_the_next_one_succeeds(path: Path, tmp_path: Path, delay: float) -> None:
    write_calls(path, 200)
    target = tmp_path / "copy"
    command = [sys.executable, "-c", BACKUP, str(path), str(target)]
    with programs.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdin and child.stdout
        assert child.stdout.readline() == "ready\n"
        child.stdin.write("go\n")
        child.stdin.flush()
        time.sleep(delay)
        child.kill()
    if target.exists():
        with Journal.open(target) as copy:
            assert copy.check().problems == []
        shutil.rmtree(target)
    with Journal.open(path) as journal:
        assert journal.backup(target).records == 200
        assert journal.check().problems == []
    assert not (tmp_path / "copy.partial").exists()


def test_two_backups_to_one_place_exclude_each_other(path: Path, tmp_path: Path) -> None:
    write_calls(path, 1)
    partial = tmp_path / "copy.partial"
    partial.mkdir(mode=0o700)
    with (partial / "backup.lock").open("w") as lock, Journal.open(path) as journal:
        (partial / "backup.lock").chmod(0o600)
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(JournalLocked):
            journal.backup(tmp_path / "copy")
    assert partial.exists()


def test_a_restored_copy_sends_nothing_twice(path: Path, tmp_path: Path, server: PromptLayerServer) -> None:
    sent = write_calls(path, 2)
    send_once(path, server)
    waiting = write_calls(path, 2)
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        leased = [record.id for record in journal.outbox.lease(1, 60_000, time.time_ns() // 1_000_000)]
    assert run(path, "backup", str(tmp_path / "copy")).returncode == 0
    # After the backup PromptLayer receives the waiting records, and one more that the copy does not have.
    with Journal.open(path) as journal:
        journal.outbox.release([journal.get(leased[0]).seq], 0, "")
    later = write_calls(path, 1)
    send_once(path, server)
    known = {record_id: [log["id"] for log in server.logs_of(record_id)] for record_id in (*sent, *waiting, *later)}
    assert all(len(ids) == 1 for ids in known.values())
    shutil.rmtree(path)
    (tmp_path / "copy").rename(path)
    for _ in range(3):
        send_once(path, server)
    assert {record_id: [log["id"] for log in server.logs_of(record_id)] for record_id in known} == known
    with Journal.open(path) as journal:
        assert {record.id: record.request_id for record in journal.records()} == {
            record_id: known[record_id][0] for record_id in (*sent, *waiting)
        }
        assert journal.check().problems == []
