"""Files and directories that plsync does not use: other users', links, FIFOs, devices."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from plsync import Journal, PromptLayerCallbackHandler
from plsync._common import native
from plsync.cli import app
from plsync.delivery.lock import sole_sender
from plsync.errors import JournalError, PlsyncError, PlsyncWarning
from plsync.journal import words
from tests.support.commands import plsync_for_forks
from tests.support.models import Chat
from tests.support.planted import KINDS, PLACES, WRITER, plant, state_of
from tests.support.spooling import SpoolWriter
from tests.support.users import STRANGER, as_user, in_child, needs_root, public_directory

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="owners, modes and FIFOs of Unix")


def record(path: Path, prompt: str = "hi") -> None:
    """One call, recorded by this process."""
    Chat().invoke(prompt, {"callbacks": [PromptLayerCallbackHandler(journal=path)]})


def recorded_failures(path: Path) -> list[str]:
    """The warnings of a call that is recorded in a forked process."""
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        assert Chat().invoke("hi", {"callbacks": [PromptLayerCallbackHandler(journal=path)]}).content == "yes"
    return [str(warning.message) for warning in shown if issubclass(warning.category, PlsyncWarning)]


@pytest.fixture(autouse=True)
def commands(monkeypatch: pytest.MonkeyPatch) -> None:
    """The objects of all commands, which typer makes in each call otherwise."""
    plsync = plsync_for_forks()
    monkeypatch.setattr("typer.testing._get_command", lambda _: plsync)


@pytest.fixture
def shared() -> Iterator[Path]:
    with public_directory() as directory:
        yield directory


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal with one ingested record."""
    path = tmp_path_factory.mktemp("made") / "journal"
    in_child(lambda: record(path))
    with Journal.open(path) as journal:
        assert len(list(journal.records())) == 1
        journal.doorbell()
    with sole_sender(path):
        pass
    return path


# --- planted files ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", PLACES)
def test_no_command_writes_through_a_planted_file_or_waits_for_it(
    place: str, kind: str, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, victims = tmp_path / "journal", tmp_path / "victims"
    shutil.copytree(made, path)
    shutil.copytree(made, victims / "journal")
    (victims / "notes.txt").write_text("notes\n" * 3)
    is_directory = place in {"spool", "lmdb", "lmdb-1"}
    plant(path, place, kind, victims / "journal" / "lmdb" if is_directory else victims / "notes.txt")
    before = state_of(victims)

    def look() -> list[str]:
        os.environ |= {"PROMPTLAYER_API_KEY": "pl_none", "PROMPTLAYER_BASE_URL": "http://127.0.0.1:9"}
        ends = []
        for command in ("list", "show 0", "status", "check", "acks", "export 0 out.jsonl", "quota", "run --once"):
            result = CliRunner().invoke(app, [*command.split(), "--journal", str(path)])
            assert result.exception is None or isinstance(result.exception, (PlsyncError, SystemExit, OSError)), command
            ends.append(f"{command}: {result.exception!r} {result.output}")
        try:
            native.salvage(str(path), str(tmp_path / "salvaged"))
        except PlsyncError as error:
            ends.append(f"salvage: {error}")
        return ends

    monkeypatch.chdir(tmp_path)
    ends = in_child(look)
    assert state_of(victims) == before, ends
    assert not (victims / "created").exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", ["FORMAT", "spool"])
def test_a_program_that_records_neither_hangs_nor_fails(place: str, kind: str, made: Path, tmp_path: Path) -> None:
    path, victims = tmp_path / "journal", tmp_path / "victims"
    shutil.copytree(made, path)
    shutil.copytree(made, victims)
    plant(path, place, kind, victims if place == "spool" else victims / "FORMAT")
    before = state_of(victims)
    failures = in_child(lambda: recorded_failures(path))
    if (place, kind) not in {("FORMAT", "hard link"), ("spool", "directory")}:
        assert len(failures) == 1
        assert "could not record" in failures[0]
        assert str(path / place) in failures[0]
    assert state_of(victims) == before


@pytest.mark.parametrize("kind", KINDS)
def test_an_unusable_segment_is_reported_and_all_other_segments_are_used(kind: str, path: Path, tmp_path: Path) -> None:
    in_child(lambda: record(path, "before"))
    (tmp_path / "victim").write_text("kept")
    for name in (f"{WRITER}-00000000.seg", "f" * 32 + "-00000000.seg", f"{WRITER}-00000001.new"):
        plant(path, f"spool/{name}", kind, tmp_path / "victim")
    in_child(lambda: record(path, "after"))
    with Journal.open(path) as journal:
        assert len(list(journal.records())) == 2
        skipped = journal.stats().skipped
        problems = [problem.where for problem in journal.check().problems]
    if kind == "hard link":  # an ordinary file of this user, and its content is no segment
        return
    assert [file.name for file in skipped] == [f"{WRITER}-00000000.seg", "f" * 32 + "-00000000.seg"]
    assert problems == [f"spool/{file.name}" for file in skipped]
    output = CliRunner().invoke(app, ["status", "--journal", str(path)]).output
    assert "2 files of the spool" in output
    assert skipped[0].reason in output
    assert (tmp_path / "victim").read_text() == "kept"


@pytest.mark.parametrize("place", ["lmdb", "lmdb/data.mdb", f"spool/{WRITER}-00000000.seg"])
@pytest.mark.parametrize("kind", ["link", "fifo", "device"])
def test_a_salvage_names_a_planted_file_and_reads_all_others(
    kind: str, place: str, made: Path, path: Path, tmp_path: Path
) -> None:
    shutil.copytree(made, path)
    in_child(lambda: record(path, "in the spool"))
    shutil.copytree(made / "lmdb", tmp_path / "victim")
    plant(path, place, kind, tmp_path / "victim")
    report = native.salvage(str(path), str(tmp_path / "salvaged"))
    assert any(place in loss or "the store: there is no" in loss for loss in report["losses"])
    with Journal.open(tmp_path / "salvaged") as journal:
        prompts = [str(record.input) for record in journal.records()]
    assert any("in the spool" in prompt for prompt in prompts)


# --- directories of a volume ---


@pytest.mark.parametrize(
    "name",
    [
        "lost+found", ".snapshot", ".zfs", ".Trash-1000", ".nfs0001", ".DS_Store", "System Volume Information",
        "@eaDir", "#recycle", "~snapshot", "quota.user",
    ],
)  # fmt: skip
def test_a_directory_that_a_volume_or_file_manager_filled_becomes_a_journal(name: str, path: Path) -> None:
    path.mkdir()
    (path / name).mkdir()
    record(path)
    with Journal.open(path) as journal:
        assert len(list(journal.records())) == 1
    assert (path / name).is_dir()


@pytest.mark.parametrize("mode", [0o755, 0o775, 0o777])
def test_an_empty_directory_of_this_user_becomes_private(mode: int, path: Path) -> None:
    path.mkdir()
    path.chmod(mode)
    record(path)
    assert path.stat().st_mode & 0o777 == 0o700
    with Journal.open(path) as journal:
        assert len(list(journal.records())) == 1


@pytest.mark.parametrize("umask", [0o000, 0o002, 0o022, 0o077])
def test_a_journal_of_any_umask_opens(umask: int, path: Path) -> None:
    before = os.umask(umask)
    try:
        record(path)
        with Journal.open(path) as journal:
            assert len(list(journal.records())) == 1
            journal.compact()
            assert len(list(journal.records())) == 1
    finally:
        os.umask(before)
    assert {file.stat().st_mode & 0o777 for file in path.rglob("*")} == {0o700, 0o600}


def test_a_journal_that_others_can_write_to_is_refused_with_the_remedy(path: Path) -> None:
    record(path)
    path.chmod(0o777)
    with pytest.raises(JournalError, match=rf"can be written to by every user .* `chmod go-w {path}`.*PLSYNC_TRUST"):
        Journal.open(path)
    failures = in_child(lambda: recorded_failures(path))
    assert len(failures) == 1
    path.chmod(0o700)
    Journal.open(path).close()


def test_status_reports_a_directory_that_others_can_list(path: Path) -> None:
    record(path)
    path.chmod(0o755)
    result = CliRunner().invoke(app, ["status", "--journal", str(path)])
    assert f"`chmod go-rwx {path}`" in result.output
    path.chmod(0o700)
    assert "chmod" not in CliRunner().invoke(app, ["status", "--journal", str(path)]).output


# --- other users ---


@needs_root
@pytest.mark.parametrize("mode", [0o700, 0o755, 0o777])
def test_the_journal_of_another_user_is_not_recorded_to(mode: int, shared: Path) -> None:
    path = shared / "journal"
    shared.chmod(0o777)
    as_user(STRANGER, lambda: record(path, "of the other user"))
    path.chmod(mode)
    before = state_of(path)
    failures = in_child(lambda: recorded_failures(path))
    assert len(failures) == 1
    assert str(path) in failures[0]
    assert ("belongs to user 65534, and this process runs as root; run as user 65534" in failures[0]) or mode == 0o777
    assert "PLSYNC_TRUST_DIRECTORY" in failures[0]
    assert state_of(path) == before
    refused = as_user(1234, lambda: Journal.open(path).close())
    assert isinstance(refused, JournalError)
    with pytest.raises(JournalError, match="PLSYNC_TRUST_DIRECTORY"), sole_sender(path):
        pass


@needs_root
def test_an_empty_directory_of_another_user_is_not_used(shared: Path) -> None:
    path = shared / "journal"
    path.mkdir(mode=0o777)
    path.chmod(0o777)
    os.chown(path, STRANGER, STRANGER)
    assert len(in_child(lambda: recorded_failures(path))) == 1
    assert list(path.iterdir()) == []


@needs_root
def test_a_trusted_directory_of_another_user_is_used(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shared / "journal"
    path.mkdir()
    os.chown(path, STRANGER, STRANGER)
    monkeypatch.setenv("PLSYNC_TRUST_DIRECTORY", os.pathsep.join(["/somewhere/else", str(shared)]))
    assert in_child(lambda: recorded_failures(path)) == []
    # The files belong to the owner of the directory, who reads them.
    assert {file.stat().st_uid for file in path.rglob("*")} == {STRANGER}
    assert as_user(STRANGER, lambda: len(list(Journal.open(path).records()))) == 1


@needs_root
def test_root_looks_at_the_journal_of_a_user_and_locks_the_user_out_of_nothing(shared: Path) -> None:
    shared.chmod(0o777)
    path = shared / "journal"
    as_user(STRANGER, lambda: record(path))
    with Journal.open(path) as journal:  # the first ingest, by root
        assert len(list(journal.records())) == 1
        journal.compact()
        journal.doorbell()
    assert {file.stat().st_uid for file in path.rglob("*")} == {STRANGER}

    def use() -> int:
        record(path, "again")
        with Journal.open(path) as journal, sole_sender(path):
            journal.compact()
            return len(list(journal.records()))

    assert as_user(STRANGER, use) == 2


@needs_root
def test_a_journal_of_root_names_its_owner_to_a_user(shared: Path) -> None:
    path = shared / "journal"
    in_child(lambda: record(path))
    refused = as_user(STRANGER, lambda: Journal.open(path).close())
    assert isinstance(refused, JournalError)
    assert "belongs to root, and user 65534 may not open it" in str(refused)
    assert "salvage" not in str(refused)


@needs_root
def test_a_journal_that_its_owner_may_not_read_is_an_error_of_the_system(shared: Path) -> None:
    shared.chmod(0o777)
    path = shared / "journal"
    as_user(STRANGER, lambda: record(path))
    path.chmod(0)
    refused = as_user(STRANGER, lambda: Journal.open(path).close())
    assert isinstance(refused, JournalError)
    assert re.search(r"cannot read \S+: Permission denied.*; .*run as its owner", str(refused))


@needs_root
def test_a_spool_that_cannot_be_entered_ends_no_running_call(shared: Path) -> None:
    shared.chmod(0o777)
    path = shared / "journal"

    def use() -> list[str]:
        writer = SpoolWriter(path)
        writer.start({"kind": "chat", "messages": []}, at=1_790_000_000_000)
        with Journal.open(path) as journal:
            journal.ingest(wait=True)
            (path / "spool").chmod(0o400)
            journal.ingest(wait=True)
            (path / "spool").chmod(0o700)
            return [words.result(record) for record in journal.records()]

    assert as_user(STRANGER, use) == ["running"]


@needs_root
@pytest.mark.parametrize("left", ["lmdb", "ingest.lock", "sync.lock", "spool/{segment}"])
def test_a_file_that_root_left_is_named_and_never_absent(left: str, shared: Path) -> None:
    shared.chmod(0o777)
    path = shared / "journal"
    as_user(STRANGER, lambda: record(path))
    as_user(STRANGER, lambda: len(list(Journal.open(path).records())))
    as_user(STRANGER, lambda: record(path))
    place = path / left.format(segment=f"{WRITER}-00000000.seg")
    if not place.exists():
        place.touch()
    place.chmod(0o700 if place.is_dir() else 0o600)
    os.chown(place, 0, 0)

    def use() -> tuple[int, list[str]]:
        with warnings.catch_warnings(record=True) as shown:
            warnings.simplefilter("always")
            with Journal.open(path) as journal:
                try:
                    with sole_sender(path):
                        pass
                except JournalError as error:
                    warnings.warn(str(error), PlsyncWarning, stacklevel=1)
                number = len(list(journal.records()))
                return number, [*(str(one.message) for one in shown), *map(str, journal.stats().skipped)]

    found = as_user(STRANGER, use)
    texts = str(found) if isinstance(found, BaseException) else " ".join(found[1])
    assert "belongs to root, and user 65534 may not open it" in texts
    assert "salvage" not in texts
    if left.startswith("spool"):
        assert found[0] == 2, "one file of root stops nothing"


@needs_root
@pytest.mark.parametrize("mode", [0o2770, 0o2775])
def test_a_volume_of_a_group_is_a_journal(mode: int, shared: Path) -> None:
    """As with ``fsGroup`` of Kubernetes, which also opens every file of the volume to the group at each start."""
    path = shared / "journal"
    path.mkdir()
    os.chown(path, 0, 4321)
    path.chmod(mode)

    def use() -> tuple[list[str], int]:
        failures = recorded_failures(path)
        with Journal.open(path) as journal, sole_sender(path):
            return failures, len(list(journal.records()))

    assert as_user(STRANGER, use, groups=(4321,)) == ([], 1)
    for file in path.rglob("*"):
        os.chown(file, -1, 4321)
        file.chmod(file.stat().st_mode | (0o2770 if file.is_dir() else 0o660))
    assert as_user(STRANGER, use, groups=(4321,)) == ([], 2)
    assert isinstance(as_user(STRANGER, use), JournalError), "this process is not in the group"


def test_a_sticky_directory_that_every_user_can_write_to_holds_a_journal(path: Path) -> None:
    path.mkdir()
    path.chmod(0o1777)
    record(path)
    with Journal.open(path) as journal:
        assert len(list(journal.records())) == 1
    assert {file.stat().st_mode & 0o077 for file in path.rglob("*")} == {0}


def test_opening_a_journal_stays_cheap(made: Path) -> None:
    # The time of the processor: other processes do not count. The best of a few rounds.
    rounds = []
    for _ in range(5):
        began = time.thread_time()
        for _ in range(50):
            native.admit_directory(str(made))
        rounds.append(time.thread_time() - began)
    assert min(rounds) / 50 < 0.001
