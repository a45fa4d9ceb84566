"""No command dies, hangs or raises a traceback on a damaged or crafted store. An error names ``plsync salvage``.

``PLSYNC_HOSTILE=1000`` tries that many random damages, each with every command, and ``PLSYNC_SEED`` sets the first.
"""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from plsync import Journal
from plsync.errors import JournalCorrupt
from tests.support.commands import run
from tests.support.hostile_journals import (
    DAMAGES,
    ENTRY_DAMAGES,
    TREES,
    damaged_at_random,
    entries_of_trees,
    rich_journal,
)
from tests.support.surviving import EVERY, FEW, PATIENCE, faults

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="each journal is read in a forked process"),
    pytest.mark.timeout(2 * PATIENCE),
]

COUNT = int(os.environ.get("PLSYNC_HOSTILE", "0"))
# Random damages of one test.
PART = 20
# The processes of pytest-xdist choose the same seeds.
CHOICE = random.Random(os.environ.get("PYTEST_XDIST_TESTRUNUID"))  # noqa: S311
FIRST = int(os.environ.get("PLSYNC_SEED", CHOICE.randrange(1 << 32)))
COMMANDS = EVERY if COUNT else FEW
# Every command reads these trees first.
FIRST_TREES = ("ids", "labels", "records", "state")
TRIED = DAMAGES | {name: damage for name, damage in ENTRY_DAMAGES.items() if COUNT or name.split(":")[0] in FIRST_TREES}
# One of a tree's pages lies beyond the map, a page has another owner, a value has no end.
CRASHING = ("leaf: value beyond the page", "branch: child is its parent", "pages in use are free")


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A journal to copy, and the id of one of its records."""
    path = tmp_path_factory.mktemp("rich") / "journal"
    return path, rich_journal(path)[3]


def test_an_undamaged_journal_is_no_fault(rich: tuple[Path, str], tmp_path: Path) -> None:
    shutil.copytree(rich[0], tmp_path / "journal")
    assert faults(EVERY, tmp_path / "journal", rich[1]) == []
    with Journal.open(tmp_path / "journal") as journal:
        assert journal.check().problems == []


def test_each_tree_of_a_store_is_damaged(rich: tuple[Path, str]) -> None:
    entries = entries_of_trees(rich[0])
    assert set(entries) == set(TREES)
    assert {name for name, number in entries.items() if number == 0} == {"damage", "returns"}


@pytest.mark.parametrize("damage", [pytest.param(damage, id=name) for name, damage in TRIED.items()])
def test_no_command_dies_of_a_damaged_store(
    damage: Callable[[Path], None], rich: tuple[Path, str], tmp_path: Path
) -> None:
    shutil.copytree(rich[0], tmp_path / "journal")
    damage(tmp_path / "journal")
    assert faults(COMMANDS, tmp_path / "journal", rich[1]) == []


@pytest.mark.parametrize("part", range(-(-(COUNT or PART) // PART)))
def test_no_command_dies_of_a_random_damage(part: int, rich: tuple[Path, str], tmp_path: Path) -> None:
    found = []
    for seed in range(FIRST + part * PART, FIRST + (part + 1) * PART):
        journal = tmp_path / str(seed) / "journal"
        shutil.copytree(rich[0], journal)
        kind = damaged_at_random(journal, seed)
        found += [f"PLSYNC_SEED={seed} ({kind}): {fault}" for fault in faults(COMMANDS, journal, rich[1])]
        shutil.rmtree(journal.parent)
    assert found == []


@pytest.mark.parametrize("name", CRASHING)
def test_a_damaged_store_is_refused_with_the_next_step_and_salvaged(
    name: str, rich: tuple[Path, str], tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    shutil.copytree(rich[0], journal)
    DAMAGES[name](journal)
    before = (journal / "lmdb" / "data.mdb").read_bytes()
    for command in (("list",), ("check",), ("show", rich[1]), ("run", "--once")):
        done = run(journal, *command, PROMPTLAYER_API_KEY="pl_x", PROMPTLAYER_BASE_URL="http://127.0.0.1:9")
        assert done.returncode == 1, done
        assert "is damaged: " in done.stderr
        assert "plsync salvage" in done.stderr
        assert "Traceback" not in done.stderr
    assert (journal / "lmdb" / "data.mdb").read_bytes() == before
    assert run(journal, "salvage", str(journal), str(tmp_path / "saved")).returncode in {0, 1}
    with Journal.open(tmp_path / "saved") as saved:
        assert saved.check().problems == []


def test_a_damage_without_a_write_is_found_by_check_alone(rich: tuple[Path, str], tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    shutil.copytree(rich[0], journal)
    with Journal.open(journal, verify=True) as opened:
        opened.ingest(wait=True)
    DAMAGES["leaf: dirty"](journal)
    with pytest.raises(JournalCorrupt, match="is damaged"):
        Journal.open(journal, verify=True)
