"""A journal that filled its disk: it recovers once a quota allows it, and each message names the disk."""

from __future__ import annotations

import errno
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from langchain_core.language_models import FakeListLLM
from langchain_core.runnables import RunnableConfig

from plsync import PromptLayerCallbackHandler, salvage
from plsync.errors import JournalError, PlsyncWarning
from plsync.journal import Journal, Quota
from plsync.journal.disk import DiskSpace
from plsync.testing import PromptLayerServer
from tests.support.calls import AT, write_calls
from tests.support.commands import json_lines, printed, run
from tests.support.full_disk import fill, small_disk, small_ext4
from tests.support.spooling import SpoolWriter
from tests.support.users import in_child

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts small file systems")

LONG = pytest.mark.skipif(
    not os.environ.get("PLSYNC_FULL_DISKS"),
    reason="`make crash` runs it: a busy machine returns the blocks of a file later",
)

DISKS = {"tmpfs": lambda at: small_disk(at, "25m"), "ext4": small_ext4}


@pytest.fixture(params=DISKS)
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    with DISKS[request.param](tmp_path / "disk") as disk:
        yield disk


class Recorder:
    """A program that records calls whose content does not compress well. The number of the call comes first."""

    def __init__(self, path: Path) -> None:
        self._config: RunnableConfig = {"callbacks": [PromptLayerCallbackHandler(journal=path)]}
        self._random = random.Random(1)  # noqa: S311
        self.number = 0

    def record(self, number: int, size: int = 40_000) -> None:
        for _ in range(number):
            content = self._random.randbytes(size // 2).hex()
            FakeListLLM(responses=["Paris"]).invoke(f"{self.number} {content}", config=self._config)
            self.number += 1


def numbers(journal: Journal) -> list[int]:
    """The numbers of the recorded calls that have their content, in the order of the journal."""
    inputs = (record.input for record in journal.records(oldest_first=True))
    return [int(found[0].split()[0]) for found in inputs if found]


def assert_recorded_or_counted(journal: Journal, recorder: Recorder) -> None:
    """A call that found the disk full is no record, and counts as a failure."""
    stats = journal.stats()
    assert recorder.number - stats.records <= stats.failures


def fill_with_calls(path: Path) -> Recorder:
    """Record and ingest calls until the store takes no more. Some calls stay in the spool."""
    recorder = Recorder(path)
    with Journal.open(path, create=True) as journal:
        try:
            for _ in range(100):
                recorder.record(25)
                journal.ingest(wait=True)
        except JournalError as error:
            assert "No space left on device" in str(error) and "plsync quota" in str(error)
        else:
            raise AssertionError("the disk is too large")
    fill(path.parent)
    return recorder


def test_a_quota_frees_a_full_disk_without_any_help(disk: Path) -> None:
    path = disk / "journal"
    recorder = fill_with_calls(path)
    before = DiskSpace.of(disk)
    assert before is not None and before.free == 0
    with Journal.open(path) as journal:
        journal.set_quota(Quota(max_bytes=2 << 20, policy="drop-oldest"))
        journal.ingest(wait=True)
        assert_recorded_or_counted(journal, recorder)
        assert not journal.stats().over_quota
        recorder.record(5)
        journal.ingest(wait=True)
        kept = numbers(journal)
        assert len(kept) >= 5 and kept == sorted(kept)
        assert journal.check().problems == []
    after = DiskSpace.of(disk)
    assert after is not None and after.free > 1 << 20


@pytest.mark.parametrize("files", range(2, 6))
def test_a_disk_that_can_hold_no_further_file_counts_each_event(tmp_path: Path, files: int) -> None:
    # One more is the root directory of the file system.
    with small_disk(tmp_path / "disk", f"8m,nr_inodes={files + 1}") as disk:
        path = disk / "journal"

        def record() -> str:
            with pytest.warns(PlsyncWarning) as shown:
                Recorder(path).record(3, size=100)
            return str(shown[0].message)

        # A process warns once.
        assert re.search(r"No space left on device.*can hold no further file.*`df -i`", in_child(record))
        subprocess.run(["/bin/mount", "-o", "remount,nr_inodes=100", str(disk)], check=True)
        done = run(path, "status", "--json")
        if done.returncode == 0:
            assert json.loads(done.stdout)["failures"] == 6
        else:
            assert "6 events could not be recorded there" in done.stderr


def test_a_program_that_starts_on_a_full_disk_takes_calls_in(disk: Path) -> None:
    path = disk / "journal"
    write_calls(path, 1)
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
    write_calls(path, 50)
    fill(disk)
    space = DiskSpace.of(disk)
    assert space is not None and space.free == 0
    assert len(json_lines(path, "list", "-n", "all")) == 51


def test_compact_prunes_before_it_ingests(disk: Path) -> None:
    path = disk / "journal"
    recorder = fill_with_calls(path)
    with Journal.open(path) as journal:
        journal.set_quota(Quota(max_bytes=3 << 20, policy="drop-oldest"))
    [report] = json_lines(path, "compact")
    assert report["dropped"] > 0
    with Journal.open(path) as journal:
        assert_recorded_or_counted(journal, recorder)
        assert journal.check().problems == []


def test_compact_without_room_for_a_copy_returns_the_space_inside_the_file(disk: Path) -> None:
    path = disk / "journal"
    noise = random.Random(1)  # noqa: S311
    ids: list[str] = []
    with Journal.open(path, create=True) as journal:
        for _ in range(10):
            writer = SpoolWriter(path)
            ids += [writer.call(noise.randbytes(30_000).hex(), "answer", at=AT + len(ids) + n) for n in range(25)]
            writer.close()
            journal.ingest(wait=True)
        fill(disk)
        journal.set_quota(Quota(max_bytes=6 << 20, policy="drop-oldest"))
        report = journal.compact()
        assert report.in_place and report.after < report.before - (1 << 20)
        free = DiskSpace.of(disk)
        assert free is not None and free.free > 1 << 19
        assert journal.check().problems == []
        kept = [record.id for record in journal.records(oldest_first=True) if not record.pruned]
        assert 0 < len(kept) < len(ids) and kept == ids[-len(kept) :]
    with Journal.open(path, verify=True) as journal:
        assert [record.id for record in journal.records(oldest_first=True)] == ids


def test_a_copy_on_a_full_disk_is_freed_although_it_has_no_reserve(disk: Path, tmp_path: Path) -> None:
    noise, original, path = random.Random(1), tmp_path / "original", disk / "journal"  # noqa: S311
    with Journal.open(original, create=True) as journal:
        for part in range(5):
            writer = SpoolWriter(original)
            for number in range(25):
                writer.call(noise.randbytes(30_000).hex(), "answer", at=AT + part * 25 + number)
            writer.close()
            if part < 4:
                journal.ingest(wait=True)
    shutil.copytree(original, path)
    fill(disk)
    with Journal.open(path) as journal:
        journal.set_quota(Quota(max_bytes=1 << 20, policy="drop-oldest"))
        journal.ingest(wait=True)
        stats = journal.stats()
        assert (stats.records, stats.over_quota) == (125, False)
        assert journal.check().problems == []
    space = DiskSpace.of(disk)
    assert space is not None and space.free > 1 << 20


def test_a_run_sends_the_stored_records_and_then_the_rest(disk: Path, server: PromptLayerServer) -> None:
    path = disk / "journal"
    recorder = fill_with_calls(path)
    # Nothing can be removed before it is delivered.
    with Journal.open(path) as journal:
        journal.set_quota(Quota(max_bytes=4 << 20))
    environment = {
        "PROMPTLAYER_API_KEY": server.api_key,
        "PROMPTLAYER_BASE_URL": server.url,
        "PYTHONWARNINGS": "default",
    }
    done = run(path, "run", "--once", **environment)
    assert done.returncode == 0, done.stderr
    with Journal.open(path) as journal:
        # The end of a call may have found the disk full. The call runs until its program ends.
        ended = [record for record in journal.records() if record.status != "pending"]
        assert {record.state for record in ended} == {"acked"}
        sent = [span["attributes"]["plsync_id"] for span in server.spans]
        assert len(sent) == len(set(sent))
        assert_recorded_or_counted(journal, recorder)


@LONG
def test_forgetting_frees_a_full_disk(disk: Path) -> None:
    path = disk / "journal"
    recorder = fill_with_calls(path)
    with Journal.open(path) as journal:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PlsyncWarning)
            stored = [record.id for record in journal.records(oldest_first=True)]
            before = numbers(journal)
        chosen = stored[: len(stored) * 2 // 3]
        kept = before[len(chosen) :]
        receipt = journal.forget(*chosen)
        assert [record.record_id for record in receipt.records] == chosen
        assert receipt.after < receipt.before - (4 << 20)
        assert [line for line in receipt.waiting if "disk was full" in line]
        assert journal.forget(*chosen).waiting == []
        # Events of the spool may find room since.
        assert numbers(journal)[: len(kept)] == kept
        assert_recorded_or_counted(journal, recorder)
        assert journal.check().problems == []
    space = DiskSpace.of(disk)
    assert space is not None and space.free > 1 << 20


@LONG
def test_forgetting_without_room_for_a_copy_frees_the_space_and_names_the_rest(disk: Path) -> None:
    path = disk / "journal"
    fill_with_calls(path)
    with Journal.open(path) as journal, warnings.catch_warnings():
        warnings.simplefilter("ignore", PlsyncWarning)
        receipt = journal.forget(*[record.id for record in journal.records(limit=150)])
        assert any("no room for a copy" in line for line in receipt.waiting)
        space = DiskSpace.of(disk)
        assert space is not None and space.free > 1 << 20
        with pytest.raises(JournalError, match="No space left"):
            journal.compact()
        assert journal.stats().forgetting
        journal.forget(*[record.id for record in journal.records(limit=600)])
        assert not journal.compact().in_place
        assert not journal.stats().forgetting
        assert journal.check().problems == []


def test_a_salvage_to_a_full_disk_returns_the_next_step(tmp_path: Path) -> None:
    write_calls(tmp_path / "journal", 1)
    with small_disk(tmp_path / "disk") as disk:
        fill(disk)
        with pytest.raises(JournalError, match=r"No space left.*nothing was saved; remove .*saved before") as caught:
            salvage(tmp_path / "journal", disk / "saved")
        assert caught.value.errno == errno.ENOSPC


def test_without_a_quota_the_message_names_the_next_step(tmp_path: Path) -> None:
    with small_disk(tmp_path, "8m") as disk:
        path = disk / "journal"
        fill_with_calls(path)
        done = run(path, "compact")
        assert done.returncode == 1
        assert "No space left on device" in done.stderr and "plsync quota" in done.stderr
        listed = run(path, "callbacks", "list", PYTHONWARNINGS="default")
        assert listed.returncode == 0 and "stay in the spool" in listed.stderr
        fill(disk)  # with the blocks that the compaction returned
        command = ["status", "--format", "prometheus", "--output", str(disk / "plsync.prom")]
        metrics = run(path, *command, PYTHONWARNINGS="default")
        assert metrics.returncode == 1 and f"{disk}/plsync.prom" in metrics.stderr
        with Journal.open(path) as journal, warnings.catch_warnings():
            warnings.simplefilter("ignore", PlsyncWarning)
            stored = numbers(journal)
        assert stored == list(range(len(stored)))


def test_a_limit_of_the_file_size_is_named(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    recorder = Recorder(path)
    with Journal.open(path, create=True) as journal:
        recorder.record(25)
        journal.ingest(wait=True)
    recorder.record(100)
    command = [sys.executable, "-c", "from plsync.journal import Journal\nJournal.open(PATH).ingest(wait=True)"]
    command[-1] = command[-1].replace("PATH", repr(str(path)))
    limited = subprocess.run(
        command,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert limited.returncode == 1
    assert "File too large" in limited.stderr and "ulimit -f" in limited.stderr
    with Journal.open(path) as journal:
        assert journal.ingest(wait=True).records > 0
        assert numbers(journal) == list(range(recorder.number))
        assert journal.check().problems == []


def test_status_warns_before_the_disk_is_full(tmp_path: Path) -> None:
    with small_disk(tmp_path, "8m") as disk:
        path = disk / "journal"
        Recorder(path).record(1)
        text = " ".join(printed(path, "status").split())
        assert "nearly full" in text and "free" in text
        free = json.loads(run(path, "status", "--json").stdout)["disk_free"]
        assert 0 < free < 8 << 20
