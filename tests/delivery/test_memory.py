"""A bound on the memory of a sender: large records do not add up, and a record beyond the bound goes alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from plsync.delivery.memory import DEFAULT_MEMORY, MemoryBudget, Share, default_memory
from plsync.delivery.policy import SendPolicy
from plsync.delivery.sender import Sender
from plsync.journal import Journal
from plsync.promptlayer.client import PromptLayerClient
from plsync.testing import PromptLayerServer
from tests.support.calls import AT, states
from tests.support.commands import PLSYNC, environment
from tests.support.spooling import SpoolWriter

MB = 1 << 20


def write_large(path: Path, sizes: list[int]) -> None:
    writer = SpoolWriter(path)
    for number, size in enumerate(sizes):
        writer.call("an image: " + "A" * size, "answer", at=AT + number)
    writer.close()


def send(path: Path, server: PromptLayerServer, budget: MemoryBudget) -> int:
    with (
        Journal.open(path) as journal,
        PromptLayerClient(server.api_key, server.url, timeout=10.0) as client,
    ):
        return Sender(journal, client, SendPolicy(settle=0.0, timeout=10.0), memory=budget).run_pass().acked


class Counting(MemoryBudget):
    """A budget that keeps the most bytes that were ever taken."""

    def __init__(self, limit: int) -> None:
        super().__init__(limit)
        self.most = 0

    def end(self, share: Share) -> None:
        super().end(share)
        self.most = max(self.most, self._used)


def test_records_beyond_the_budget_wait_for_each_other(path: Path, server: PromptLayerServer) -> None:
    write_large(path, [300_000] * 6 + [100])
    budget = Counting(4_000_000)
    assert send(path, server, budget) == 7
    assert budget.most <= 4_000_000
    assert budget.reserve(1).alone


def test_a_record_beyond_the_budget_goes_alone_and_in_its_turn(path: Path, server: PromptLayerServer) -> None:
    write_large(path, [100, 3_000_000, 100, 3_000_000, 100])
    assert send(path, server, MemoryBudget(100_000)) == 5
    assert set(states(path).values()) == {"acked"}


def test_two_senders_of_a_process_share_the_budget_and_neither_starves() -> None:
    budget = MemoryBudget(1_000_000)
    share = budget.reserve(50_000, "one")
    held = budget.hold(50_000)
    budget.end(share)
    assert not budget.reserve(0, "two").alone
    budget.wait_alone("two")
    assert budget.reserve(50_000, "one").room == 0
    budget.release(held)
    assert budget.reserve(50_000, "two").alone
    budget.stop_waiting("two")
    assert budget.reserve(50_000, "one").room == 50_000


def test_the_default_is_below_the_limit_of_a_container(tmp_path: Path) -> None:
    own = tmp_path / "none"
    assert default_memory(tmp_path, own) == DEFAULT_MEMORY
    (tmp_path / "memory.max").write_text("max\n")
    assert default_memory(tmp_path, own) == DEFAULT_MEMORY
    (tmp_path / "memory.max").write_text(f"{256 * MB}\n")
    assert 150 * MB < default_memory(tmp_path, own) < 256 * MB


@pytest.mark.parametrize(
    ("groups", "limit"),
    [
        ("0::/system.slice/plsync.service", "system.slice/plsync.service/memory.max"),
        ("0::/user.slice/app.scope/worker", "user.slice/memory.max"),
        ("0::/system.slice/plsync.service", "system.slice/plsync.service/memory.high"),
        ("0::/../other", "memory.max"),
        ("5:devices:/\n4:cpu,memory:/docker/0a:1b\n0::/", "memory/docker/0a:1b/memory.limit_in_bytes"),
    ],
)
def test_the_default_is_below_the_limit_of_each_control_group(tmp_path: Path, groups: str, limit: str) -> None:
    (own := tmp_path / "own").write_text(f"{groups}\n")
    file = tmp_path / "cgroup" / limit
    file.parent.mkdir(parents=True)
    file.write_text(f"{256 * MB}\n")
    assert 150 * MB < default_memory(tmp_path / "cgroup", own) < 256 * MB


RUN = """
import sys
from pathlib import Path
from plsync.cli import main
try:
    main()
finally:
    # The figure of getrusage begins with the memory of the process that started this one.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    print(int(status.split("VmHWM:")[1].split()[0]) // 1024, file=sys.stderr)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures the peak of the resident memory")
def test_the_peak_of_a_run_stays_below_its_bound(path: Path, server: PromptLayerServer) -> None:
    write_large(path, [16 * MB] * 6)
    # Without a bound six requests would be open at once.
    server.hang(0.5, times=6, path="/spans-bulk")
    variables = {"PROMPTLAYER_API_KEY": server.api_key, "PROMPTLAYER_BASE_URL": server.url}
    done = subprocess.run(
        [sys.executable, "-c", RUN, "run", "--once", "--memory", "192MB"],
        env=environment(path, **variables),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert set(states(path).values()) == {"acked"}
    assert int(done.stderr.split()[-1]) < 192


@pytest.mark.parametrize("size", ["0", "64KB", "many"])
def test_a_bound_that_no_run_can_keep_is_refused(path: Path, size: str) -> None:
    write_large(path, [10])
    done = subprocess.run(
        [PLSYNC, "run", "--once", "--memory", size], env=environment(path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "--memory" in done.stderr
