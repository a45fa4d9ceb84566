"""Programs that can record nothing from their first call on: ``plsync status`` counts their losses after their end."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from plsync.journal import Journal
from tests.support import programs
from tests.support.calls import write_calls
from tests.support.commands import run
from tests.support.full_disk import fill, small_disk, small_ext4
from tests.support.root import ROOT

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the limits are Linux's")

CALLS = 3
PROGRAM = f"""
import sys, warnings
warnings.simplefilter("ignore")
from plsync._common import native
from langchain_core.language_models import FakeListLLM
from plsync import PromptLayerCallbackHandler
model = FakeListLLM(responses=["Paris"])
model.invoke("LangChain imports modules at the first call")
handler = PromptLayerCallbackHandler(journal=sys.argv[1])
{{limit}}
for _ in range({CALLS}):
    assert model.invoke("lost", config={{{{"callbacks": [handler]}}}}) == "Paris"
print(handler.failures)
"""
NO_DESCRIPTORS = """
import os, resource
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []
try:
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
"""


def lose(path: Path, limit: str = "", **limits: int) -> int:
    """Run a program that makes calls, and return the events that it lost."""

    def apply() -> None:
        for name, value in limits.items():
            resource.setrlimit(getattr(resource, name), (value, value))

    command = [sys.executable, "-c", PROGRAM.format(limit=limit), str(path)]
    done = programs.run(
        command,
        capture_output=True,
        text=True,
        preexec_fn=apply if limits else None,
        cwd=ROOT,
        env=os.environ,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lost = int(done.stdout)
    assert lost >= CALLS
    return lost


def counted(path: Path) -> SimpleNamespace:
    done = run(path, "status", "--json")
    assert done.returncode in {0, 3}, done.stderr
    return SimpleNamespace(**json.loads(done.stdout))


def test_losses_under_a_limit_of_the_file_size_are_counted_after_the_end(path: Path) -> None:
    for round, limit in enumerate((100_000, 10_000)):
        lost = lose(path, RLIMIT_FSIZE=limit)
        found = counted(path)
        assert found.failures == lost * (round + 1)
        assert "File too large" in found.last_failure


def test_losses_of_a_program_that_may_write_no_byte_are_counted(path: Path) -> None:
    write_calls(path, 1)
    lost = lose(path, RLIMIT_FSIZE=0) + lose(path, RLIMIT_FSIZE=0)
    assert counted(path).failures == lost
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        assert journal.stats().failures == lost
        assert journal.check().problems == []


def test_losses_without_a_free_descriptor_are_counted(path: Path) -> None:
    write_calls(path, 1)
    assert counted(path).failures == 0
    lost = lose(path, NO_DESCRIPTORS)
    assert counted(path).failures == lost


@contextmanager
def few_inodes(path: Path) -> Iterator[Path]:
    with small_disk(path, "8m,nr_inodes=40") as disk:
        yield disk


def use_inodes(disk: Path) -> list[Path]:
    made: list[Path] = []
    try:
        while True:
            made.append(disk / f"ballast{len(made)}")
            made[-1].touch()
    except OSError:
        return made[:-1]


@pytest.mark.parametrize(
    ("make", "use"),
    [
        (lambda at: small_disk(at, "8m"), lambda disk: [fill(disk)]),
        (small_ext4, lambda disk: [fill(disk)]),
        (few_inodes, use_inodes),
    ],
    ids=["tmpfs", "ext4", "inodes"],
)
def test_losses_on_a_disk_that_is_full_from_the_first_call_are_counted(
    make: Callable[[Path], Iterator[Path]], use: Callable[[Path], list[Path]], tmp_path: Path
) -> None:
    with make(tmp_path / "disk") as disk:  # type: ignore[attr-defined]
        path = disk / "journal"
        write_calls(path, 1)
        with Journal.open(path) as journal:
            journal.ingest(wait=True)
        ballast = use(disk)
        lost = lose(path) + lose(path)
        assert counted(path).failures == lost
        for file in ballast:
            file.unlink()
        with Journal.open(path) as journal:
            journal.ingest(wait=True)
            stats = journal.stats()
            assert (stats.failures, stats.writers) == (lost, [])
        assert counted(path).failures == lost


def test_losses_in_the_directory_of_a_journal_that_could_not_be_made_are_counted(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk") as disk:
        path = disk / "journal"
        ballast = fill(disk)
        lost = lose(path)
        done = run(path, "status")
        assert done.returncode == 1 and f"{lost} events could not be recorded" in done.stderr, done.stderr
        ballast.unlink()
        write_calls(path, 1)
        assert counted(path).failures == lost


def test_losses_of_many_programs_at_once_add_up(path: Path) -> None:
    write_calls(path, 1)
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))"
    command = [sys.executable, "-c", PROGRAM.format(limit=limit), str(path)]
    running = [programs.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    lost = sum(int(program.communicate()[0]) for program in running)
    assert counted(path).failures == lost
