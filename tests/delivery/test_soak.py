"""The whole way of records over a faulty network, with a sender that is killed several times."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from plsync.journal import Journal
from plsync.testing import PromptLayerServer
from tests.support import programs
from tests.support.calls import AT
from tests.support.spooling import SpoolWriter

RECORDS = int(os.environ.get("PLSYNC_SOAK_RECORDS", "400"))
KILLS = int(os.environ.get("PLSYNC_SOAK_KILLS", "5"))
SEED = int(os.environ.get("PLSYNC_SEED", str(time.time_ns() % 1_000_000)))
PATIENCE = 60 + RECORDS // 10

APP = """
from pathlib import Path

from plsync import track


def on_id(request_id, record):
    with Path("ids").open("a") as file:
        file.write(f"{record.id} {request_id}\\n")
    if request_id % 10 == 0:
        track.score(request_id, request_id % 101)
"""

# `plsync run` with shorter pauses.
RUN = (
    "import functools\n"
    "from plsync.delivery import policy\n"
    "policy.SendPolicy = functools.partial(policy.SendPolicy, shortest_pause=0.01, longest_pause=0.2)\n"
    "from plsync.cli import main\n"
    "main()\n"
)


@pytest.fixture
def server() -> Iterator[PromptLayerServer]:
    # Slow enough that each kill finds a request in flight, for any number of records.
    with PromptLayerServer(search_per_minute=None, latency=0.01) as server:
        server.plan(seed=SEED, fraction=0.4)
        yield server


@pytest.fixture
def app(tmp_path: Path) -> Path:
    directory = tmp_path / "app"
    directory.mkdir()
    (directory / "soak_app.py").write_text(APP)
    return directory


def record(path: Path) -> dict[str, str]:
    """Record calls of a process that has ended; return their prompts by record id."""
    path.mkdir(mode=0o700)
    writer = SpoolWriter(path)
    prompts = [f"prompt {number} " + "x" * (number % 700) for number in range(RECORDS)]
    ids = [writer.call(p, f"re: {p}", at=AT + n, sink="soak_app:on_id") for n, p in enumerate(prompts)]
    writer.close()
    return dict(zip(ids, prompts, strict=True))


def start(path: Path, app: Path, server: PromptLayerServer) -> subprocess.Popen[bytes]:
    settings = {
        "PLSYNC_JOURNAL": str(path),
        "PROMPTLAYER_API_KEY": server.api_key,
        "PROMPTLAYER_BASE_URL": server.url,
    }
    command = [sys.executable, "-c", RUN, "run", "--settle", "0", "--batch", str(max(5, RECORDS // 100))]
    quiet = subprocess.DEVNULL
    return programs.Popen(command, env={**os.environ, **settings}, cwd=app, stdout=quiet, stderr=quiet)


def is_drained(path: Path) -> bool:
    with Journal.open(path) as journal:
        return not journal.stats().left


@pytest.mark.timeout(PATIENCE * 2)
def test_every_record_arrives_once_and_every_id_comes_back(
    tmp_path: Path, app: Path, server: PromptLayerServer
) -> None:
    path = tmp_path / "journal"
    prompts = record(path)
    chance = random.Random(SEED)  # noqa: S311
    for _ in range(KILLS):
        with start(path, app, server) as process:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(chance.uniform(0.6, 2.0))
            process.kill()
    deadline = time.monotonic() + PATIENCE
    with start(path, app, server) as process:
        while not is_drained(path):
            assert time.monotonic() < deadline, f"never drained, seed {SEED}"
            assert process.poll() is None, f"it ended by itself, seed {SEED}"
            time.sleep(0.2)
        process.terminate()
    faults = sum(server.faults_met.values())
    assert faults >= len(server.requests) / 3, "the plan hit too few of the calls"

    logs = server.request_logs
    assert Counter(log["metadata"]["plsync_id"] for log in logs) == Counter(prompts.keys()), f"seed {SEED}"
    for log in logs:
        (message,) = log["input"]["messages"]
        assert message["content"][0]["text"] == prompts[log["metadata"]["plsync_id"]]
        assert log["output"]["messages"][0]["content"][0]["text"] == f"re: {prompts[log['metadata']['plsync_id']]}"
    ids = {log["metadata"]["plsync_id"]: log["id"] for log in logs}
    with Journal.open(path) as journal:
        assert {found.id: found.request_id for found in journal.records()} == ids
        assert journal.check().problems == []
    delivered = {tuple(line.split()) for line in (app / "ids").read_text().splitlines()}
    assert delivered == {(record_id, str(request_id)) for record_id, request_id in ids.items()}
    scored = {request_id: {"default": request_id % 101} for request_id in ids.values() if request_id % 10 == 0}
    assert server.scores == scored
