"""A full disk ends no program by a signal: a write through a map has its disk space before."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from plsync import Journal
from tests.support import programs
from tests.support.calls import write_calls
from tests.support.full_disk import fill, small_disk

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")

PROGRAMS = {
    "track": "import plsync; plsync.track.score(1, 90)",
    "open": "from plsync import Journal; Journal.open()",
    "create": "from plsync import Journal; Journal.open(create=True)",
    "compact": "from plsync import Journal; Journal.open().compact()",
    "records": "from plsync import Journal; print(len(list(Journal.open().records())))",
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path, "2m") as disk:
        yield disk


def run(path: Path, program: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PLSYNC_JOURNAL": str(path)}
    return programs.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=60)


def free_pages(ballast: Path, number: int) -> None:
    """Free pages of a full disk: each number lets a program come a step further."""
    os.truncate(ballast, ballast.stat().st_size - number * 4096)


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("pages", [0, 1, 2, 3, 4, 6, 9, 17, 18, 20])
def test_a_program_on_a_full_disk_is_not_killed(disk: Path, name: str, pages: int) -> None:
    path = disk / "journal"
    write_calls(path, 2)
    free_pages(fill(disk), pages)
    done = run(path, PROGRAMS[name])
    assert done.returncode in (0, 1), signal.Signals(-done.returncode)
    if done.returncode == 1:
        assert "No space left" in done.stderr


def test_a_sparse_lock_file_of_an_older_journal_is_no_danger(disk: Path) -> None:
    path = disk / "journal"
    write_calls(path, 2)
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
    copy = disk / "copy"
    shutil.copytree(path, copy)
    (lock,) = copy.rglob("lock.mdb")
    os.truncate(lock, 0)
    os.truncate(lock, 65_664)
    ballast = fill(disk)
    refused = run(copy, PROGRAMS["records"])
    assert refused.returncode == 1
    assert "No space left" in refused.stderr
    ballast.unlink()
    assert run(copy, PROGRAMS["records"]).stdout == "2\n"
