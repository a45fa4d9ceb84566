"""A bound on the memory of a sender: large records do not add up, and a record beyond the bound goes alone."""

from __future__ import annotations

import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from langchain_core.language_models import FakeListLLM

from plsync import PromptLayerCallbackHandler
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
    handler = PromptLayerCallbackHandler(journal=path)
    model = FakeListLLM(responses=["answer"])
    for size in sizes:
        model.invoke("an image: " + "A" * size, config={"callbacks": [handler]})


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


INGEST = """
import sys
from pathlib import Path
from plsync import Journal

def memory(name):
    return int(Path("/proc/self/status").read_text(encoding="ascii").split(name + ":")[1].split()[0]) // 1024

with Journal.open(sys.argv[1]) as journal:
    before = memory("VmRSS")
    journal.ingest(wait=True)
print(memory("VmHWM") - before, memory("RssAnon") + memory("RssFile") - before)
"""


APPEND = """
import os, sys
from plsync import Journal
with Journal.open(sys.argv[1], create=True) as journal:
    print(*(journal.append(os.urandom(8 << 20)) for _ in range(2)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="measures the peak of the resident memory")
def test_an_ingest_takes_the_memory_of_one_large_event_twice(path: Path) -> None:
    # The next events of all programs are compared before the first is ingested.
    command = [sys.executable, "-c", APPEND, str(path)]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    ids = {record_id for writer in writers for record_id in writer.communicate()[0].split()}
    done = subprocess.run([sys.executable, "-c", INGEST, str(path)], capture_output=True, text=True, check=True)
    peak, left = map(int, done.stdout.split())
    assert peak < 2 * 8 + 20
    assert left < 16
    with Journal.open(path) as journal:
        assert {record.id for record in journal.records()} == ids
        assert len(ids) == 6


def test_an_ingest_beside_requests_stops_in_front_of_a_large_event(path: Path) -> None:
    first, second = SpoolWriter(path), SpoolWriter(path)
    small = first.call("small", "answer", at=AT)
    large = second.start({"kind": "chat", "messages": ["A" * MB]}, at=AT + 1)
    second.end(large, {"generations": []})
    last = first.call("small", "answer", at=AT + 2)
    first.close()
    second.close()
    with Journal.open(path) as journal:
        assert journal.ingest(wait=True, largest=MB // 2).records == 1
        found = {record.id: record.status for record in journal.records()}
        assert found == {small: "ok", large: "ok", last: "ok"}


def test_the_budget_leaves_room_for_an_ingest() -> None:
    budget = MemoryBudget(60 * MB)
    assert budget.largest_event() == 30 * MB
    held = budget.hold(9 * MB)
    assert budget.largest_event() == 3 * MB
    budget.release(held)


@pytest.mark.skipif(sys.platform != "linux", reason="limits the address space")
@pytest.mark.parametrize(("command", "megabytes"), [("check", 100), ("show", 140), ("show", 310)])
def test_a_command_without_memory_ends_with_an_error(path: Path, command: str, megabytes: int) -> None:
    write_large(path, [30 * MB])
    with Journal.open(path) as journal:
        [record_id] = [record.id for record in journal.records()]
    done = subprocess.run(
        [PLSYNC, command, *([record_id] if command == "show" else [])],
        env=environment(path),
        preexec_fn=partial(resource.setrlimit, resource.RLIMIT_AS, (megabytes * MB, megabytes * MB)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "memory" in done.stderr, done
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("size", ["0", "64KB", "many"])
def test_a_bound_that_no_run_can_keep_is_refused(path: Path, size: str) -> None:
    write_large(path, [10])
    done = subprocess.run(
        [PLSYNC, "run", "--once", "--memory", size], env=environment(path), capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "--memory" in done.stderr
