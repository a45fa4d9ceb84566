"""Programs whose disk fills up, whose rights go and come back, and whose memory is limited: nothing promised is lost.

``PLSYNC_LIMITS=100`` runs that many rounds, as ``make crash`` does, and ``PLSYNC_SEED`` sets the first.
"""

from __future__ import annotations

import errno
import os
import random
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest

from plsync.errors import JournalError
from plsync.journal import Journal, salvage
from tests.support import limited_program
from tests.support.commands import PLSYNC, environment
from tests.support.full_disk import small_disk
from tests.support.root import ROOT
from tests.support.spooling import SpoolWriter
from tests.support.users import STRANGER, public_directory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits are Linux's")

ROUNDS = int(os.environ.get("PLSYNC_LIMITS", "1"))
# The processes of pytest-xdist must choose the same seeds.
CHOICE = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID"))  # noqa: S311
FIRST = int(os.environ.get("PLSYNC_SEED", CHOICE.randrange(1 << 30) if ROUNDS > 1 else 1))
SEEDS = range(FIRST, FIRST + ROUNDS)


def work(path: Path, seed: int, kind: str, *user: str, steps: int = 40) -> set[str]:
    """Run the program, and return the ids that it was promised."""
    command = [sys.executable, limited_program.__file__, str(path), str(seed), str(steps), kind, *user]
    variables = os.environ | {"PYTHONPATH": f"{ROOT}", "HOME": str(path.parent), "XDG_STATE_HOME": str(path.parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=300, check=False)
    assert done.returncode == 0, f"seed {seed}: {done.returncode}\n{done.stderr[-3000:]}"
    return set(done.stdout.split())


def assert_whole(path: Path, promised: set[str]) -> None:
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        assert journal.check().problems == []
        lost = promised - {record.id for record in journal.records()}
        assert not lost
        assert all(len(journal.get(UUID(id)).id) for id in promised)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_disk_that_fills_at_any_step_ends_no_program_and_loses_nothing(tmp_path: Path, seed: int) -> None:
    with small_disk(tmp_path / "disk", "16m") as disk:
        promised = work(disk / "journal", seed, "disk")
        assert_whole(disk / "journal", promised)


@pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
@pytest.mark.parametrize("seed", SEEDS)
def test_rights_that_go_and_come_back_lose_nothing(seed: int) -> None:
    # Every other run of pytest takes the rights of other users to pytest's own directories.
    with public_directory() as directory, small_disk(directory / "disk", "64m") as disk:
        home = disk / "home"
        home.mkdir()
        os.chown(home, STRANGER, STRANGER)
        promised = work(home / "journal", seed, "rights", str(STRANGER))
        assert_whole(home / "journal", promised)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_command_with_little_memory_leaves_the_journal_whole(tmp_path: Path, seed: int) -> None:
    path, choose = tmp_path / "journal", random.Random(seed)  # noqa: S311
    writer = SpoolWriter(path)
    ids = {writer.call("A" * choose.choice([100, 3 << 20]), "answer", at=1_790_000_000_000 + n) for n in range(8)}
    writer.close()
    for command in (["status"], ["list"], ["check"], ["compact"], ["list", "--text", "answer"]):
        limit = choose.randrange(80, 300) << 20
        done = subprocess.run(
            [PLSYNC, *command],
            env=environment(path),
            preexec_fn=partial(resource.setrlimit, resource.RLIMIT_AS, (limit, limit)),
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert done.returncode >= 0, (command, limit, done)
        assert b"PanicException" not in done.stderr, (command, limit, done)
    assert_whole(path, ids)


IN_LITTLE_SPACE = """
import resource, sys
from pathlib import Path
from plsync import Journal
taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + (300 << 20),) * 2)
with Journal.open(sys.argv[1]) as journal:
    maps = [line.split("-") for line in Path("/proc/self/maps").read_text().splitlines() if line.endswith("data.mdb")]
    print(sum(int(end.split()[0], 16) - int(start, 16) for start, end, *_ in maps) >> 20, len(list(journal.records())))
"""


def test_the_map_of_a_store_leaves_half_of_a_limited_address_space(path: Path) -> None:
    writer = SpoolWriter(path)
    writer.call("question", "answer", at=1_790_000_000_000)
    writer.close()
    command = [sys.executable, "-c", IN_LITTLE_SPACE, str(path)]
    mapped, records = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert (0 < int(mapped) <= 150, records) == (True, "1")


# Raises its limit in steps, so that the work has too little memory at first, and enough at the end.
WRITES_JSON = """
import resource, warnings
from pathlib import Path
from plsync._common.large_json import dumps, loads
from plsync._common.native import encode

def results(work):
    taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    for more in [*range(0, 256, 12), 1024]:
        resource.setrlimit(resource.RLIMIT_AS, (taken + (more << 20), resource.RLIM_INFINITY))
        try:
            yield work()
        except MemoryError:
            yield None
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

value = {"inputs": [["A" * (8 << 20), "x\\n" * (2 << 20)], "B" * (8 << 20)]}
written = dumps(value)
for work in (lambda: len(dumps(value)), lambda: len(encode({1, *value["inputs"][0]})[0]), lambda: len(loads(written))):
    found = list(results(work))
    assert found[0] is None and found[-1] is not None and len(set(found)) == 2, found
"""


def test_json_of_a_large_value_without_memory_raises() -> None:
    done = subprocess.run([sys.executable, "-c", WRITES_JSON], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done


@pytest.mark.parametrize("seed", SEEDS)
def test_a_salvage_with_little_memory_takes_no_whole_record_for_a_damaged_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    path, choose = tmp_path / "journal", random.Random(seed)  # noqa: S311
    writer = SpoolWriter(path)
    ids = {writer.call(choose.randbytes(3 << 20).hex(), "answer", at=1_790_000_000_000 + n) for n in range(4)}
    writer.close()
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
    monkeypatch.setattr(salvage, "MEMORY_PER_BYTE", 0)
    for number in range(4):
        monkeypatch.setattr(salvage, "MEMORY", choose.randrange(24, 100) << 20)
        target = tmp_path / f"saved-{number}"
        try:
            report = salvage.salvage(path, target)
        except JournalError as error:
            assert error.errno == errno.ENOMEM, error
        else:
            assert (report.records, report.lost, report.damaged) == (len(ids), 0, 0)
