"""Random trees over a faulty network, with programs and senders that are killed.

``make crash`` sends many more of them.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from plsync import Journal
from plsync.delivery.policy import SendPolicy
from plsync.delivery.sender import Sender
from plsync.promptlayer.client import PromptLayerClient
from plsync.testing import PromptLayerServer
from tests.support.forks import exit_code, forked
from tests.support.random_trees import record_trees

TREES = int(os.environ.get("PLSYNC_TREES", "30"))
PROGRAMS = 3
KILLS = int(os.environ.get("PLSYNC_TREE_KILLS", "3"))
SEED = int(os.environ.get("PLSYNC_SEED", str(time.time_ns() % 1_000_000)))

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def server() -> Iterator[PromptLayerServer]:
    with PromptLayerServer(search_per_minute=None) as server:
        yield server


def send(path: Path, server: PromptLayerServer, batch: int) -> bool:
    """One pass; returns whether nothing is left."""
    policy = SendPolicy(settle=0.0, timeout=2.0)
    with Journal.open(path) as journal, PromptLayerClient(server.api_key, server.url) as client:
        Sender(journal, client, policy, batch=batch, in_flight=3).run_pass()
        stats = journal.stats()
        return not stats.left and not sum(stats.run_states[state] for state in ("pending", "leased", "in_doubt"))


def send_until_killed(path: Path, server: PromptLayerServer, batch: int) -> None:
    while True:
        send(path, server, batch)


@pytest.mark.timeout(120 + TREES)
def test_every_span_and_every_log_arrives_once_in_its_tree(tmp_path: Path, server: PromptLayerServer) -> None:
    path, chance = tmp_path / "journal", random.Random(SEED)  # noqa: S311
    expected: dict[str, str] = {}
    for program in range(PROGRAMS):
        listed = tmp_path / f"expected-{program}"
        child = forked(partial(record_trees, str(path), SEED + program, TREES // PROGRAMS, str(listed)))
        assert exit_code(child) == -signal.SIGKILL
        expected |= dict(line.split() for line in listed.read_text().splitlines())
    server.plan(seed=SEED, fraction=0.3)
    # Trees above these limits go in parts.
    batch = chance.choice([3, 7, 200])
    for _ in range(KILLS):
        child = forked(partial(send_until_killed, path, server, batch))
        time.sleep(chance.uniform(0.05, 0.3))
        os.kill(child, signal.SIGKILL)
        exit_code(child)
    deadline = time.monotonic() + 60 + TREES
    while not send(path, server, batch):
        assert time.monotonic() < deadline, f"never drained, seed {SEED}"

    with Journal.open(path) as journal:
        runs = {record.id: str(record.run_id) for record in journal.records(runs=True)}
        assert journal.check().problems == []
        calls = [record.id for record in journal.records()]
    assert Counter(runs.values()) == Counter(expected.keys()), f"seed {SEED}"
    server.assert_exactly_once(calls)
    arrived: dict[str, str] = {}
    trees = server.trees
    assert len({tree.trace_id for tree in trees}) == len(trees), f"a trace with two roots, seed {SEED}"
    for tree in trees:
        assert tree.closed and not tree.orphans, f"not whole: {tree}, seed {SEED}"
        assert tree.linked == [] or tree.attributes["plsync_status"] == "interrupted"
        for span in tree:
            run_id = runs[span.attributes["plsync_id"]]
            assert run_id not in arrived, f"a span of two trees, seed {SEED}"
            arrived[run_id] = "None" if span.parent is None else runs[span.parent.attributes["plsync_id"]]
    assert arrived == expected, f"seed {SEED}"
    assert len(server.spans) == len(expected), f"seed {SEED}"
