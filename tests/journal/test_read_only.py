"""Journals that can only be read: on a read-only file system, and as a user without the right to write."""

from __future__ import annotations

import shutil
import subprocess
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from plsync import Journal
from plsync.errors import JournalError, PlsyncWarning
from plsync.journal import Quota
from tests.support.calls import AT, acknowledge, write_calls
from tests.support.commands import run
from tests.support.full_disk import small_disk, small_ext4, stop_writes
from tests.support.planted import state_of
from tests.support.root import ROOT
from tests.support.spooling import SpoolWriter
from tests.support.users import STRANGER, as_user, needs_root, public_directory


@contextmanager
def read_only(disk: Path) -> Iterator[None]:
    subprocess.run(["/bin/mount", "-o", "remount,ro", str(disk)], check=True)
    try:
        yield
    finally:
        subprocess.run(["/bin/mount", "-o", "remount,rw", str(disk)], check=True)


def journal_with_calls(path: Path) -> tuple[str, SpoolWriter]:
    """Three acked records and a waiting one in the store, and another in the spool."""
    write_calls(path, 3)
    acknowledge(path)
    writer = SpoolWriter(path)
    waiting = writer.call("waits", "yes", at=AT + 10)
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
    writer.call("in the spool", "yes", at=AT + 11)
    return waiting, writer


READING = (
    ("status",),
    ("show", "1001"),
    ("tail",),
    ("acks",),
    ("check",),
    ("usage", "--by", "tag"),
    ("callbacks", "list"),
)
WRITING: tuple[Callable[[Journal], object], ...] = (
    lambda journal: journal.outbox.ack([(1, 7)]),
    lambda journal: journal.set_quota(Quota(max_bytes=1)),
    lambda journal: journal.track.score(1001, 10),
    lambda journal: journal.forget(1001),
)


def test_every_reading_command_works_on_a_read_only_file_system(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, "16m"):
        path = disk / "journal"
        waiting, writer = journal_with_calls(path)
        writer.close()
        before = state_of(path)
        with read_only(disk):
            for command in READING:
                done = run(path, *command, PYTHONWARNINGS="default")
                assert (done.returncode, "Traceback" in done.stderr) == (0, False), (command, done.stderr)
            assert "read-only: 2 newer events wait in its spool" in run(path, "list", PYTHONWARNINGS="default").stderr
            assert "2 events not ingested yet" in run(path, "status").stdout
            assert waiting in run(path, "list", "-n", "1", "--json", PYTHONWARNINGS="default").stdout
            exported = run(path, "export", "--recording", str(tmp_path / "calls.jsonl"), PYTHONWARNINGS="default")
            assert exported.returncode == 0
            assert "4 calls written" in exported.stdout
            refused = run(path, "compact")
            assert (refused.returncode, "is read-only; nothing was changed" in refused.stderr) == (1, True)
            unsent = run(path, "run", "--once", PROMPTLAYER_API_KEY="pl_x")
            assert (unsent.returncode, "a read-only file system; nothing was sent" in unsent.stderr) == (1, True)
            with Journal.open(path) as journal:
                for write in WRITING:
                    with pytest.raises(JournalError, match="is read-only; nothing was changed"):
                        write(journal)
            # A copy is writable, and has the events of the spool.
            assert run(path, "backup", str(tmp_path / "copy")).returncode == 0
        assert state_of(path) == before
    with Journal.open(tmp_path / "copy") as copy:
        assert [record.input[0]["content"] for record in copy.records(limit=1)] == ["in the spool"]


@needs_root
def test_every_reading_command_works_on_a_disk_that_takes_no_writes_any_more(tmp_path: Path) -> None:
    with small_ext4(tmp_path / "disk") as disk:
        path = disk / "journal"
        waiting, writer = journal_with_calls(path)
        writer.close()
        with Journal.open(path) as opened:
            stop_writes(disk)
            with pytest.warns(PlsyncWarning, match="Read-only file system"):
                assert opened.stats().records == 4
        for command in (("status",), ("check",), ("tail",)):
            done = run(path, *command, PYTHONWARNINGS="default")
            assert (done.returncode, "Traceback" in done.stderr) == (0, False), (command, done.stderr)
        assert waiting in run(path, "list", "-n", "1", "--json", PYTHONWARNINGS="default").stdout
        unsent = run(path, "run", "--once", PROMPTLAYER_API_KEY="pl_x")
        assert unsent.returncode == 1 and "read-only" in unsent.stderr.lower()
        with Journal.open(path) as journal:
            for write in WRITING:
                with pytest.raises(JournalError, match="is read-only; nothing was changed"):
                    write(journal)


@needs_root
def test_another_user_reads_a_journal_that_its_owner_uses() -> None:
    with public_directory() as directory:
        path = directory / "journal"
        _, writer = journal_with_calls(path)
        for found in (path, *path.rglob("*")):
            found.chmod(0o755 if found.is_dir() else 0o644)
        names = set(state_of(path))
        stop = threading.Event()

        def look() -> tuple[int, bool, str]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                least = 4
                for _ in range(100):
                    with Journal.open(path) as journal:
                        found = [record.input for record in journal.records()]
                        assert len(found) >= least
                        least = len(found)
                        assert journal.check().problems == []
                with Journal.open(path) as journal:
                    try:
                        journal.compact()
                    except JournalError as error:
                        return least, journal.stats().read_only, str(error)
            return least, False, ""

        def use() -> None:
            number = 100
            while not stop.is_set():
                writer.call(f"question {number}", "answer " * 50, at=AT + number)
                with Journal.open(path) as journal:
                    journal.ingest(wait=True)
                number += 1

        owner = threading.Thread(target=use)
        owner.start()
        try:
            result = as_user(STRANGER, look)
        finally:
            stop.set()
            owner.join()
            writer.close()
        if isinstance(result, Exception):
            raise result
        found, is_read_only, refusal = result
        assert (found > 4, is_read_only) == (True, True)
        assert "is read-only; nothing was changed" in refusal
        assert set(state_of(path)) <= names | {f"spool/{writer.path.name}"}
        with Journal.open(path, verify=True) as journal:
            assert journal.check().problems == []


@needs_root
def test_a_directory_without_the_right_to_write_can_be_read() -> None:
    with public_directory() as directory:
        path = directory / "journal"

        def make_and_look() -> list[int]:
            write_calls(path, 3)
            acknowledge(path)
            for found in (*path.rglob("*"), path):
                found.chmod(0o500 if found.is_dir() else 0o400)
            try:
                with Journal.open(path) as journal:
                    assert journal.stats().read_only
                    assert journal.check().problems == []
                    return [ack.request_id for ack in journal.acks()]
            finally:
                for found in (path, *path.rglob("*")):
                    found.chmod(0o700 if found.is_dir() else 0o600)

        directory.chmod(0o777)
        assert as_user(STRANGER, make_and_look) == [1001, 1002, 1003]


def test_the_error_for_an_outdated_store_on_a_read_only_file_system_has_a_remedy(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    with small_disk(disk, "16m"):
        shutil.copytree(ROOT / "rust/journal/tests/golden/format-1/journal", disk / "journal")
        for found in (disk / "journal").rglob("*"):
            found.chmod(0o700 if found.is_dir() else 0o600)
        with read_only(disk), pytest.raises(JournalError, match=r"earlier version of plsync.*copy the directory"):
            Journal.open(disk / "journal")
        with Journal.open(disk / "journal") as journal:
            assert journal.check().records > 0
