"""A program that records trees for long needs no more memory, even if a tenth of its runs never end."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

import pytest

from plsync import PromptLayerCallbackHandler
from tests.support.forks import exit_code, forked

# `make crash` records 100,000.
RUNS = int(os.environ.get("PLSYNC_TREE_SOAK", "8000"))
ROUNDS = 8
SLACK = 6 << 20

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def record(path: Path) -> None:
    signal.alarm(60 + RUNS // 1000)
    handler = PromptLayerCallbackHandler(journal=path, runs="tree")
    kept: list[object] = []
    sizes: list[int] = []
    for number in range(RUNS // 2):
        root, used = uuid4(), uuid4()
        handler.on_chain_start(None, {"question": "x" * 100}, run_id=root, name="agent", tags=[], metadata={"n": 1})
        handler.on_tool_start({"name": "search"}, "", run_id=used, parent_run_id=root, inputs={"query": "x"})
        if number % 10 == 0:
            kept = [*kept[-9:], (root, used)]
        else:
            handler.on_tool_end("found", run_id=used)
            handler.on_chain_end({"answer": "y"}, run_id=root)
        if (number + 1) % (RUNS // 2 // ROUNDS) == 0:
            sizes.append(resident())
    assert handler.failures == 0
    # The first rounds fill caches and the list of ended runs.
    late = sizes[ROUNDS // 2 :]
    assert max(after - before for before, after in pairwise(late)) < SLACK, sizes
    assert late[-1] - late[0] < SLACK, sizes


@pytest.mark.timeout(60 + RUNS // 1000)
def test_runs_that_never_end_take_no_memory(tmp_path: Path) -> None:
    assert exit_code(forked(partial(record, tmp_path / "journal"))) == 0
