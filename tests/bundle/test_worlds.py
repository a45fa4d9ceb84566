"""The protocol in random worlds: no call is lost or doubled when media, journals and processes fail."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.support.gap_machines import Machines
from tests.support.gap_world import World

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


@pytest.mark.timeout(4 * WORLDS + 60)
@pytest.mark.parametrize("shard", range(max(1, WORLDS // 100)))
def test_no_call_is_lost_or_doubled_in_any_world(machines: Machines, root: Path, shard: int) -> None:
    @seed(shard)
    @settings(
        max_examples=min(WORLDS, 100),
        deadline=None,
        database=None,
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(seeds=st.lists(st.integers(0, 1 << 32), min_size=EVENTS // 2, max_size=EVENTS))
    def check(seeds: list[int]) -> None:
        directory = Path(tempfile.mkdtemp(dir=root))
        try:
            world = World(machines, directory, labs=1 + seeds[0] % 3)
            for number in seeds:
                world.step(Random(number))  # noqa: S311 - no secret
            world.settle()
            assert world.faults() == {}
        finally:
            shutil.rmtree(directory)

    check()
