"""Journals that a group shares: one user records, another sends, and a third has no access. All are real users."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

import pytest
from typer.testing import CliRunner

from plsync import Journal, PromptLayerCallbackHandler
from plsync._common import native
from plsync.cli import app
from plsync.delivery.lock import current_sender, sole_sender
from plsync.errors import JournalError, JournalFormatError, JournalLocked
from plsync.journal import Quota
from plsync.journal.doorbell import Doorbell
from plsync.journal.sharing import group_number, share
from plsync.otlp.cursor import Cursor
from plsync.testing import PromptLayerServer
from tests.support.calls import request_ids
from tests.support.models import Chat
from tests.support.sending import send_once
from tests.support.users import as_user, needs_root, public_directory

pytestmark = [
    needs_root,
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has shared journals"),
]

WEB: Final = 61001
WORKER: Final = 61002
OUTSIDER: Final = 61003
GROUP: Final = 62001
OTHER_GROUP: Final = 62002


def as_web(function: Callable[[], Any], umask: int = 0o022) -> Any:
    return _succeeded(as_user(WEB, _masked(function, umask), groups=(GROUP,)))


def as_worker(function: Callable[[], Any], umask: int = 0o022) -> Any:
    return _succeeded(as_user(WORKER, _masked(function, umask), groups=(GROUP,)))


def _masked(function: Callable[[], Any], umask: int) -> Callable[[], Any]:
    def run() -> Any:
        os.umask(umask)
        return function()

    return run


def _succeeded(result: Any) -> Any:
    if isinstance(result, BaseException):
        raise result
    return result


def record(path: Path, prompt: str = "hi", **settings: Any) -> None:
    Chat().invoke(prompt, {"callbacks": [PromptLayerCallbackHandler(journal=path, **settings)]})


def prompts(path: Path) -> list[str]:
    with Journal.open(path) as journal:
        texts = [record.messages() for record in journal.records(oldest_first=True) if not record.forgotten]
        return [str(messages[0].content) for messages in texts if messages]


def modes(path: Path) -> set[tuple[int, int]]:
    """The groups and modes of a journal and its files."""
    found = [path, *path.rglob("*")]
    return {(file.lstat().st_gid, stat.S_IMODE(file.lstat().st_mode)) for file in found}


SHARED: Final = {(GROUP, 0o2770), (GROUP, 0o660)}


@pytest.fixture
def place() -> Iterator[Path]:
    with public_directory() as directory:
        yield directory


@pytest.fixture
def shared(place: Path) -> Path:
    """An empty journal of root that the group shares."""
    Journal.share(place / "journal", group=GROUP)
    return place / "journal"


# --- use by several users ---


def test_one_user_records_and_another_sends(shared: Path) -> None:
    with PromptLayerServer() as server:
        for prompt in ("first", "second"):
            as_web(lambda prompt=prompt: record(shared, prompt), 0o077)  # type: ignore[misc]
            report, _ = as_worker(lambda: send_once(shared, server), 0o022)
            assert report.acked == 1
        assert as_web(lambda: prompts(shared), 0o022) == ["first", "second"]
        assert modes(shared) == SHARED

        def ids() -> list[int | None]:
            with Journal.open(shared) as journal:
                return [record.request_id for record in journal.records()]

        assert None not in as_web(ids)


def test_every_operation_keeps_the_group_and_the_modes(shared: Path, place: Path) -> None:
    as_web(lambda: record(shared, "kept"), 0o077)

    def maintain() -> str:
        with Journal.open(shared) as journal:
            journal.append("a value")
            journal.set_quota(Quota(max_bytes=10**9))
            journal.compact()
            first = next(iter(journal.records(oldest_first=True)))
            journal.forget(first.id)
            journal.doorbell()
            with sole_sender(shared):
                pass
            return first.id

    forgotten = as_worker(maintain, 0o077)
    as_web(lambda: record(shared, "later"), 0o077)
    assert as_web(lambda: prompts(shared))[-1] == "later"

    def looked() -> bool:
        with Journal.open(shared) as journal:
            record = journal.get(forgotten)
            return record is not None and record.forgotten and not journal.check().problems

    assert as_web(looked)
    assert modes(shared) == SHARED
    copies = place / "copies"
    copies.mkdir()
    os.chown(copies, WORKER, GROUP)
    copies.chmod(0o750)

    def copy() -> None:
        with Journal.open(shared) as journal:
            assert journal.backup(copies / "backup").ok
        native.salvage(str(shared), str(copies / "salvaged"))

    as_worker(copy, 0o077)
    for made in ("backup", "salvaged"):
        assert modes(copies / made) == SHARED
        assert as_web(lambda made=made: prompts(copies / made))[-1] == "later"  # type: ignore[misc]


@contextmanager
def running(user: int, function: Callable[[int], None]) -> Iterator[tuple[int, BinaryIO]]:
    """A process of a member that runs a function, which may write to a pipe. It is killed at the end of the block."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([GROUP])
            os.setgid(user)
            os.setuid(user)
            os.umask(0o077)
            function(writing)
            signal.pause()
        finally:
            os._exit(1)
    os.close(writing)
    with open(reading, "rb") as pipe:
        try:
            yield child, pipe
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_the_events_of_a_killed_process_of_another_user_are_ingested_and_its_files_removed(shared: Path) -> None:
    def write(pipe: int) -> None:
        record(shared, "before the kill")
        os.write(pipe, b"1")

    def state() -> tuple[list[str], list[bool], int]:
        stats = Journal.open(shared).stats()
        return prompts(shared), [writer.alive for writer in stats.writers], len(stats.skipped)

    with running(WEB, write) as (_, pipe):
        pipe.read(1)
        assert as_worker(state) == (["before the kill"], [True], 0)
    as_worker(lambda: prompts(shared))
    assert as_worker(state) == (["before the kill"], [], 0)
    assert list((shared / "spool").iterdir()) == []


def test_the_lock_of_a_sender_and_its_report_are_seen_by_another_user(shared: Path) -> None:
    def send(pipe: int) -> None:
        with sole_sender(shared):
            os.write(pipe, b"1")
            signal.pause()

    def second() -> None:
        with sole_sender(shared):
            pass

    as_web(lambda: record(shared))
    with running(WORKER, send) as (child, pipe):
        pipe.read(1)
        sender = as_web(lambda: current_sender(shared))
        assert sender is not None
        assert sender.pid == child
        with pytest.raises(JournalLocked, match=f"process {child}"):
            as_web(second)
    as_web(second)


def test_a_ring_of_another_user_wakes_a_program(shared: Path) -> None:
    as_web(lambda: Doorbell(shared).ring())
    watch = native.Watch(str(shared))
    waiting = Doorbell(shared)
    assert waiting.has_rung()
    for ring in (as_worker, as_web, as_worker):
        ring(lambda: Doorbell(shared).ring())
        assert waiting.has_rung()
        assert watch.poll()[1]
    assert (shared / "doorbell").stat().st_uid == WORKER
    assert [file.name for file in shared.glob("doorbell*")] == ["doorbell"]


def test_a_callback_runs_in_the_process_of_the_recording_user(shared: Path) -> None:
    def use(pipe: int) -> None:
        record(shared, pl_id_callback=lambda request_id: os.write(pipe, b"%d\n" % request_id))

    with PromptLayerServer() as server, running(WEB, use) as (_, pipe):
        while not as_worker(lambda: Journal.open(shared).stats().records):
            time.sleep(0.01)
        report, _ = as_worker(lambda: send_once(shared, server))
        assert report.acked == 1
        assert int(pipe.readline()) in as_worker(lambda: set(request_ids(shared).values()))


def test_a_store_that_another_user_wrote_last_is_not_verified_again(shared: Path) -> None:
    as_web(lambda: record(shared))

    def open_and_write() -> bytes:
        with Journal.open(shared) as journal:
            journal.append("a value")
            journal.ingest(wait=True)
        return (shared / "lmdb" / "stamp").read_bytes()

    before = as_web(open_and_write)
    after = as_worker(open_and_write)
    assert before != after

    def opened() -> bytes:
        Journal.open(shared).close()
        return (shared / "lmdb" / "stamp").read_bytes()

    # A verification would write another stamp.
    assert as_web(opened) == as_worker(opened) == after


def test_the_cursor_of_an_export_is_used_by_every_member(shared: Path) -> None:
    def read_on(seq: int) -> int:
        cursor = Cursor.load(shared, "https://collector.example", {})
        before, cursor.seq = cursor.seq, seq
        cursor.save()
        return before

    assert as_web(lambda: read_on(1), 0o077) == 0
    assert as_worker(lambda: read_on(2), 0o077) == 1
    assert as_web(lambda: read_on(3), 0o077) == 2
    assert modes(shared) == SHARED


# --- users without access ---


def test_a_user_outside_of_the_group_gets_nothing(shared: Path) -> None:
    as_web(lambda: record(shared, "secret"))
    for groups in ((), (OTHER_GROUP,)):
        refused = as_user(OUTSIDER, lambda: Journal.open(shared).close(), groups=groups)
        assert isinstance(refused, JournalError)
        assert f"belongs to root, and user {OUTSIDER} may not open it" in str(refused)
        assert f"a member of group {GROUP}" in str(refused)
        for file in (shared, *shared.rglob("*")):
            assert isinstance(as_user(OUTSIDER, file.stat if file != shared else lambda: os.listdir(shared)), OSError)


def test_root_reads_and_maintains_but_neither_records_nor_sends(shared: Path) -> None:
    as_web(lambda: record(shared, "of the web user"))
    assert prompts(shared) == ["of the web user"]
    with Journal.open(shared) as journal:
        journal.compact()
    assert modes(shared) == SHARED
    with pytest.raises(JournalError, match=r"could make root call functions.*member of group"), sole_sender(shared):
        pass
    as_worker(lambda: record(shared, "after root"))
    assert as_web(lambda: prompts(shared)) == ["of the web user", "after root"]


@pytest.mark.parametrize(
    ("target", "group", "mode"),
    [
        (".", OTHER_GROUP, 0o2770),
        (".", GROUP, 0o2775),
        (".", GROUP, 0o770),
        ("lmdb", GROUP, 0o2777),
        ("lmdb/data.mdb", GROUP, 0o666),
        ("lmdb/data.mdb", OTHER_GROUP, 0o660),
    ],
)
def test_a_wrong_group_or_mode_is_refused_and_repaired(target: str, group: int, mode: int, shared: Path) -> None:
    as_web(lambda: record(shared))
    as_worker(lambda: prompts(shared))
    os.chown(shared / target, WEB, group)
    (shared / target).chmod(mode)
    refused = as_user(WORKER, lambda: prompts(shared), groups=(GROUP, OTHER_GROUP))
    assert isinstance(refused, JournalError)
    assert f"belongs to group {group} with mode {mode:04o}, and the journal is shared with group {GROUP}" in str(
        refused
    )
    assert f"`plsync share --group {GROUP} --journal {shared}` as root" in str(refused)
    Journal.share(shared, group=GROUP)
    assert modes(shared) == SHARED
    assert as_worker(lambda: prompts(shared)) == ["hi"]


def test_an_access_control_list_is_refused(shared: Path) -> None:
    as_web(lambda: record(shared))
    # An entry that admits one more user: version 2, then tag, rights and id of each entry.
    entries = [(1, 7, -1), (2, 7, OUTSIDER), (4, 7, -1), (16, 7, -1), (32, 0, -1)]
    packed = b"\2\0\0\0" + b"".join(
        tag.to_bytes(2, "little") + rights.to_bytes(2, "little") + (number & 0xFFFFFFFF).to_bytes(4, "little")
        for tag, rights, number in entries
    )
    try:
        os.setxattr(shared, "system.posix_acl_default", packed)
    except OSError:
        pytest.skip("the file system has no access control lists")
    refused = as_user(WORKER, lambda: prompts(shared), groups=(GROUP,))
    assert isinstance(refused, JournalError)
    assert "has an access control list" in str(refused)
    assert f"setfacl -b -k {shared}" in str(refused)


def test_a_member_cannot_plant_a_journal_in_a_directory_of_all_users(place: Path) -> None:
    place.chmod(0o1777)
    path = place / "journal"
    as_web(lambda: Journal.share(path, group=GROUP))
    refused = as_user(WORKER, lambda: record_loudly(path), groups=(GROUP,))
    assert isinstance(refused, JournalError)
    assert f"belongs to user {WEB}, and every user can make such a directory in {place}" in str(refused)
    place.chmod(0o755)
    assert as_worker(lambda: prompts(path)) == []


def test_a_link_of_another_member_is_not_followed(shared: Path, place: Path) -> None:
    link = place / "link"
    link.symlink_to(shared)
    os.lchown(link, WEB, GROUP)
    refused = as_user(WORKER, lambda: Journal.open(link).close(), groups=(GROUP,))
    assert isinstance(refused, JournalError)
    assert f"belongs to user {WEB}" in str(refused)


@pytest.mark.parametrize("kind", ["link", "fifo", "hard link"])
def test_files_that_a_member_plants_are_not_used(kind: str, shared: Path, place: Path) -> None:
    as_web(lambda: record(shared))
    as_worker(lambda: prompts(shared))
    victim = place / "victim"
    victim.write_text("kept")
    os.chown(victim, WORKER, GROUP)
    victim.chmod(0o660)

    def plant() -> None:
        planted = shared / "ingest.lock"
        planted.unlink()
        if kind == "link":
            planted.symlink_to(victim)
        elif kind == "fifo":
            os.mkfifo(planted)
        else:
            os.link(victim, planted)

    place.chmod(0o777)
    as_web(plant)
    place.chmod(0o755)
    refused = as_user(WORKER, lambda: prompts(shared), groups=(GROUP,))
    assert "ingest.lock" in str(refused)
    assert victim.read_text() == "kept"
    # Root repairs a journal in which a member may have planted files.
    Journal.share(shared, group=GROUP)
    assert stat.S_IMODE(victim.stat().st_mode) == 0o660
    Journal.share(shared, group=None)
    assert (victim.stat().st_uid, stat.S_IMODE(victim.stat().st_mode)) == (WORKER, 0o660)


def test_a_member_cannot_share_the_volume_of_another_user(place: Path) -> None:
    path = place / "journal"
    path.mkdir()
    os.chown(path, WEB, GROUP)
    path.chmod(0o2770)
    as_web(lambda: record(path))

    def replace_marker() -> None:
        marker = path / "FORMAT"
        marker.unlink()
        marker.write_text(f"plsync journal\nformat 2\nid {'0' * 32}\ngroup {GROUP}\n")
        marker.chmod(0o660)

    as_worker(replace_marker)
    refused = as_user(WEB, lambda: prompts(path), groups=(GROUP,))
    assert isinstance(refused, JournalError)
    assert f"belongs to user {WORKER}, and this process runs as user {WEB}" in str(refused)


def test_a_file_of_an_older_version_is_named_with_the_repair(shared: Path) -> None:
    as_web(lambda: record(shared))
    segment = next((shared / "spool").glob("*.seg"))
    segment.chmod(0o600)

    def skipped() -> list[str]:
        with Journal.open(shared) as journal:
            return [file.reason for file in journal.stats().skipped]

    assert f"with mode 0600, and the journal is shared with group {GROUP}" in as_worker(skipped)[0]
    as_web(lambda: segment.chmod(0o660))
    assert as_worker(lambda: prompts(shared)) == ["hi"]


def test_a_key_file_in_a_planted_journal_is_refused(place: Path) -> None:
    directory = place / "keys"
    as_root_shared = Journal.share(directory, group=GROUP)
    assert as_root_shared.group == GROUP
    key = directory / "spool" / "key"
    key.write_text("pl_of_a_member")
    os.chown(key, WEB, GROUP)
    key.chmod(0o660)
    refused = as_user(WORKER, lambda: native.open_file(str(key)), groups=(GROUP,))
    assert isinstance(refused, PermissionError)
    assert isinstance(as_user(WORKER, lambda: native.open_file(str(key), journal=True), groups=(GROUP,)), int)


# --- making, converting ---


def test_a_private_journal_is_shared_and_becomes_private_again(place: Path) -> None:
    place.chmod(0o777)
    path = place / "journal"
    as_web(lambda: record(path, "private"))
    as_web(lambda: prompts(path))
    place.chmod(0o755)
    before = modes(path)
    assert before == {(WEB, 0o700), (WEB, 0o600)}
    assert isinstance(as_user(WORKER, lambda: prompts(path), groups=(GROUP,)), JournalError)
    report = as_web(lambda: share(path, GROUP))
    assert (report.previous, report.group, report.changed > 3) == (None, GROUP, True)
    assert modes(path) == SHARED
    assert as_worker(lambda: prompts(path)) == ["private"]
    as_worker(lambda: record(path, "of the worker"))
    refused = as_user(WEB, lambda: share(path, None), groups=(GROUP,))
    assert isinstance(refused, JournalError)
    assert f"belongs to user {WORKER}, and only its owner or root" in str(refused)
    assert modes(path) == SHARED
    assert Journal.share(path, group=None).previous == GROUP
    assert {mode for _, mode in modes(path)} == {0o700, 0o600}
    assert as_web(lambda: prompts(path)) == ["private", "of the worker"]
    assert isinstance(as_user(WORKER, lambda: prompts(path), groups=(GROUP,)), JournalError)


def test_a_process_that_records_goes_on_while_its_journal_is_shared(path: Path, place: Path) -> None:
    path = place / "journal"
    place.chmod(0o777)

    def use() -> list[str]:
        record(path, "before")
        share(path, GROUP)
        # More than a segment, so that the process makes a new one.
        for number in range(3):
            record(path, f"{number}" + "x" * 200_000)
        return [prompt[:6] for prompt in prompts(path)]

    assert as_web(use, 0o077) == ["before", "0xxxxx", "1xxxxx", "2xxxxx"]
    assert modes(path) == SHARED
    place.chmod(0o755)
    assert len(as_worker(lambda: prompts(path))) == 4


def test_only_a_member_shares_with_a_group(place: Path) -> None:
    place.chmod(0o777)
    path = place / "journal"
    as_web(lambda: record(path))
    before = modes(path)
    refused = as_user(WEB, lambda: share(path, OTHER_GROUP), groups=(GROUP,))
    assert isinstance(refused, JournalError)
    assert f"user {WEB} is not a member" in str(refused)
    assert modes(path) == before
    assert isinstance(as_user(WORKER, lambda: share(path, GROUP), groups=(GROUP,)), JournalError)


def test_a_volume_of_a_group_stays_private_without_the_command(place: Path) -> None:
    path = place / "journal"
    path.mkdir()
    os.chown(path, 0, GROUP)
    path.chmod(0o2770)
    as_web(lambda: record(path))
    assert stat.S_IMODE((path / "FORMAT").stat().st_mode) == 0o600
    refused = as_user(WORKER, lambda: prompts(path), groups=(GROUP,))
    assert isinstance(refused, JournalError)
    Journal.share(path, group=GROUP)
    assert as_worker(lambda: prompts(path)) == ["hi"]


def test_an_unknown_group_and_a_foreign_directory_change_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no group 'no-such-group'"):
        Journal.share(tmp_path / "journal", group="no-such-group")
    assert not (tmp_path / "journal").exists()
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").write_text("kept")
    with pytest.raises(JournalFormatError, match="it holds other files"):
        Journal.share(tmp_path / "notes", group=GROUP)
    assert stat.S_IMODE((tmp_path / "notes").stat().st_mode) != 0o2770
    assert group_number("root") == 0
    with pytest.raises(ValueError, match="no number of a group"):
        group_number(1 << 32)


def test_a_shared_journal_has_a_format_that_earlier_versions_refuse(shared: Path) -> None:
    lines = (shared / "FORMAT").read_text().splitlines()
    assert lines[:2] == ["plsync journal", "format 2"]
    assert lines[3:] == [f"group {GROUP}"]
    Journal.share(shared, group=None)
    private = (shared / "FORMAT").read_text().splitlines()
    assert private == ["plsync journal", "format 1", lines[2]]


def test_the_command_shares_shows_and_ends(place: Path) -> None:
    path = place / "journal"

    def run(*arguments: str) -> str:
        result = CliRunner().invoke(app, [*arguments, "--journal", str(path)])
        assert result.exception is None, result.exception
        return result.output

    assert f"Shared with group {GROUP}: {path}" in run("share", "--group", str(GROUP))
    assert f"Shared with group {GROUP}: {path}" in run("share")
    assert f"with group {GROUP}" in run("status")
    assert f'"group":{GROUP},' in run("status", "--json")
    assert "Private: " in run("share", "--private")
    assert "Private: " in run("share")
    wrong = CliRunner().invoke(app, ["share", "--private", "--group", "root", "--journal", str(path)])
    assert wrong.exit_code == 2
    wrong = CliRunner().invoke(app, ["share", "--group", "no-such-group", "--journal", str(path)])
    assert wrong.exit_code == 2


def record_loudly(path: Path) -> None:
    native.Recorder(str(path), "process").append(b"event")


def test_a_restored_backup_is_shared_at_its_new_place(shared: Path, place: Path) -> None:
    as_web(lambda: record(shared, "kept"))
    with Journal.open(shared) as journal:
        journal.backup(place / "backup")
    shutil.rmtree(shared)
    (place / "backup").rename(shared)
    assert as_worker(lambda: prompts(shared)) == ["kept"]
    as_web(lambda: record(shared, "more"))
    assert as_worker(lambda: prompts(shared)) == ["kept", "more"]
