"""The protocol in random worlds: no call is lost or doubled when media, journals and processes fail."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.support.gap_world import Machines, World

# `make crash` checks 2,000 worlds of more events.
WORLDS = int(os.environ.get("PLSYNC_TEST_WORLDS", "50"))
EVENTS = int(os.environ.get("PLSYNC_TEST_WORLD_EVENTS", "30"))


@pytest.fixture(scope="module")
def root() -> Iterator[Path]:
    """A directory in memory, where the system has one: each commit of a journal is synced."""
    memory = Path("/dev/shm")
    directory = tempfile.mkdtemp(dir=memory if memory.is_dir() else None)
    yield Path(directory)
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def machines(root: Path) -> Machines:
    return Machines(root / "keys")


@settings(
    max_examples=WORLDS,
    derandomize=True,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
@given(seeds=st.lists(st.integers(0, 1 << 32), min_size=EVENTS // 2, max_size=EVENTS))
def test_no_call_is_lost_or_doubled_in_any_world(machines: Machines, root: Path, seeds: list[int]) -> None:
    directory = Path(tempfile.mkdtemp(dir=root))
    try:
        world = World(machines, directory)
        for seed in seeds:
            world.step(Random(seed))  # noqa: S311 - no secret
        world.settle()
        assert world.faults() == {}
    finally:
        shutil.rmtree(directory)
