"""``plsync salvage`` makes a new journal of a damaged one, and reports the losses."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import lmdb
import pytest

import plsync
from plsync.errors import JournalError, JournalFormatError, JournalNotFound
from plsync.journal import salvage
from tests.support.commands import PLSYNC, json_lines, printed, run
from tests.support.spooling import SpoolWriter

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="limits and signals as Linux has them")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal of thirty calls. PromptLayer has acked the first with the request id 70."""
    writer = SpoolWriter(tmp_path / "journal")
    for number in range(30):
        writer.call(f"Question {number}?", f"Answer {number}", at=1_760_000_000_000 + number, tags=["asked"])
    writer.close()
    with plsync.Journal.open(tmp_path / "journal") as journal:
        journal.ingest(wait=True)
        journal.outbox.ack([(1, 70)])
    return tmp_path / "journal"


def test_a_damaged_journal_keeps_its_ids_states_and_request_ids(path: Path, tmp_path: Path) -> None:
    with plsync.Journal.open(path) as journal:
        known: dict[str, tuple[Any, ...]] = {
            record.id: (record.state, record.request_id, record.input) for record in journal.records()
        }
    # Without its first pages the store does not show whether a later commit sent a waiting record.
    known = {key: ("in_doubt" if state == "pending" else state, *rest) for key, (state, *rest) in known.items()}
    data = path / "lmdb" / "data.mdb"
    data.write_bytes(b"\xff" * 8192 + data.read_bytes()[8192:])
    damaged = data.read_bytes()
    text = run(path, "salvage", str(path), str(tmp_path / "saved")).stdout
    assert "30 records, 1 request id, 0 callbacks, 0 follow-ups saved" in text
    assert "1 part of the store could not be read" in text
    assert data.read_bytes() == damaged
    with plsync.Journal.open(tmp_path / "saved") as saved:
        assert {record.id: (record.state, record.request_id, record.input) for record in saved.records()} == known
        assert saved.check().problems == []


def test_a_damaged_dictionary_does_no_harm(path: Path, tmp_path: Path) -> None:
    data = path / "lmdb" / "data.mdb"
    bytes_before = data.read_bytes()
    with lmdb.open(str(path / "lmdb"), max_dbs=32, readonly=True) as environment, environment.begin() as transaction:
        dictionary = transaction.get(b"dict/3", db=environment.open_db(b"meta", transaction, create=False))
    assert dictionary is not None
    assert bytes_before.count(dictionary[9000:9100]) == 1
    data.write_bytes(bytes_before.replace(dictionary[9000:9100], bytes(100)))
    assert plsync.salvage(path, tmp_path / "saved").records == 30
    with plsync.Journal.open(tmp_path / "saved") as saved:
        assert [record.damage for record in saved.records() if record.damage] == []
    with (
        lmdb.open(str(tmp_path / "saved" / "lmdb"), max_dbs=32, readonly=True) as environment,
        environment.begin() as transaction,
    ):
        kept = transaction.get(b"dict/3", db=environment.open_db(b"meta", transaction, create=False))
    assert kept == dictionary


def test_a_sound_journal_is_copied_whole(path: Path, tmp_path: Path) -> None:
    assert "no known losses" in printed(path, "salvage", str(path), str(tmp_path / "saved"))
    (report,) = json_lines(path, "salvage", str(path), str(tmp_path / "again"))
    assert (report["records"], report["acks"], report["lost"], report["damaged"]) == (30, 1, 0, 0)


def test_losses_are_printed_and_set_the_exit_code(path: Path, tmp_path: Path) -> None:
    (path / "lmdb" / "data.mdb").unlink()
    done = run(path, "salvage", str(path), str(tmp_path / "saved"))
    assert done.returncode == 1
    assert "lost: the store" in done.stdout


@pytest.mark.parametrize("command", ["check", "status"])
@pytest.mark.parametrize("size", [8192, 0])
def test_the_error_for_a_truncated_store_names_the_next_step(path: Path, command: str, size: int) -> None:
    with (path / "lmdb" / "data.mdb").open("rb+") as data:
        data.truncate(size)
    done = run(path, command)
    assert (done.returncode, done.stdout) == (1, "")
    assert "cannot be used" in done.stderr
    assert "`plsync salvage`" in done.stderr


def test_a_salvage_needs_a_journal_and_a_new_directory(path: Path, tmp_path: Path) -> None:
    with pytest.raises(JournalNotFound):
        plsync.salvage(tmp_path / "none", tmp_path / "saved")
    with pytest.raises(JournalFormatError, match="exists"):
        plsync.salvage(path, path)


def test_the_child_imports_its_modules_from_the_callers_path(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the wrong json')")
    monkeypatch.chdir(tmp_path)
    assert plsync.salvage(path, "saved").records == 30


@on_linux
def test_the_memory_of_the_child_is_limited(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(salvage, "MEMORY", 1 << 20)
    monkeypatch.setattr(salvage, "MEMORY_PER_BYTE", 0)
    before = (path / "lmdb" / "data.mdb").read_bytes()
    out_of_memory = "Cannot allocate memory|had too little memory"
    with pytest.raises(JournalError, match=out_of_memory):
        plsync.salvage(path, tmp_path / "saved")
    assert (path / "lmdb" / "data.mdb").read_bytes() == before


class Watched(subprocess.Popen[bytes]):
    """A process that a test can stop and signal."""

    started: ClassVar[list[Watched]] = []

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.started.append(self)


def make_large(journal: Path) -> None:
    """A journal of 8,000 calls, which a salvage saves in several transactions."""
    writer = SpoolWriter(journal)
    for number in range(8_000):
        writer.call("?", "!", at=1_760_000_000_000 + number)
    writer.close()
    with plsync.Journal.open(journal) as opened:
        opened.ingest(wait=True)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def saved(target: Path) -> int:
    """The number of records in a new journal, read without LMDB's lock. The salvage holds that lock at times."""
    try:
        with (
            lmdb.open(str(target / "lmdb"), readonly=True, lock=False, max_dbs=32) as environment,
            environment.begin() as transaction,
        ):
            return int(transaction.stat(environment.open_db(b"ids", transaction, create=False))["entries"])
    except lmdb.Error:
        return 0


@pytest.fixture
def half_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], tuple[Future[Any], subprocess.Popen[bytes], int]]:
    """Starts a salvage of 8,000 calls, and stops its process after a part of the calls is saved."""
    make_large(tmp_path / "journal")
    monkeypatch.setattr(Watched, "started", [])
    monkeypatch.setattr("plsync.journal.salvage.subprocess.Popen", Watched)
    target = tmp_path / "saved"

    def start() -> tuple[Future[Any], subprocess.Popen[bytes], int]:
        salvaging = ThreadPoolExecutor(1).submit(plsync.salvage, tmp_path / "journal", target)
        until(lambda: bool(Watched.started))
        (process,) = Watched.started

        def stopped_half_way() -> bool:
            # The process runs while this thread sleeps, and stands still while this thread reads the store.
            process.send_signal(signal.SIGSTOP)
            if saved(target):
                return True
            process.send_signal(signal.SIGCONT)
            return False

        until(stopped_half_way)
        return salvaging, process, saved(target)

    return start


@on_linux
def test_records_saved_before_the_child_died_are_kept_and_counted(
    half_way: Callable[[], tuple[Future[Any], subprocess.Popen[bytes], int]], tmp_path: Path
) -> None:
    salvaging, process, saved = half_way()
    process.send_signal(signal.SIGBUS)
    process.send_signal(signal.SIGCONT)
    with pytest.raises(JournalError, match=f"was ended by SIGBUS.*{saved:,} records saved before are in .*saved"):
        salvaging.result(timeout=60)
    assert 0 < saved < 8_000
    with plsync.Journal.open(tmp_path / "saved") as journal:
        assert len(list(journal.records())) == saved
        assert journal.check().problems == []


@on_linux
def test_a_child_that_takes_too_long_is_killed(
    half_way: Callable[[], tuple[Future[Any], subprocess.Popen[bytes], int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(salvage, "SECONDS", 3.0)
    monkeypatch.setattr(salvage, "SECONDS_PER_MB", 0.0)
    salvaging, process, _ = half_way()
    with pytest.raises(JournalError, match=r"took more than .* records saved before"):
        salvaging.result(timeout=60)
    assert process.returncode == -signal.SIGKILL


@on_linux
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_the_child_ends_with_the_command(how: signal.Signals, tmp_path: Path) -> None:
    make_large(tmp_path / "journal")
    target = tmp_path / "saved"
    command = [str(PLSYNC), "salvage", str(tmp_path / "journal"), str(target)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as parent:
        children = Path(f"/proc/{parent.pid}/task/{parent.pid}/children")
        until(lambda: bool(children.read_text().split()))
        child = int(children.read_text().split()[0])

        def stopped_half_way() -> bool:
            os.kill(child, signal.SIGSTOP)
            if saved(target):
                return True
            os.kill(child, signal.SIGCONT)
            return False

        until(stopped_half_way)
        parent.send_signal(how)
        parent.wait(timeout=30)
    # After Ctrl-C the command has killed the child already.
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGCONT)
    # Its new parent may not have read its exit code yet.
    until(lambda: not Path(f"/proc/{child}/exe").exists())
    assert saved(target) < 8_000
