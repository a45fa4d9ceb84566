"""Request ids on their way back: the latency, the rate beside a queue in SQLite, and the cost of waiting.

Usage: python benches/python/callbacks.py [--ids N] [--rounds N] [--idle SECONDS]

The peer is the obvious queue: a table in SQLite (WAL, each commit synced). The peer marks a row, calls the function,
and deletes the row. After a crash it repeats one call, where plsync may repeat 16. The peer has no leases and no
retries, and any process may take any row.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from plsync import Journal
from plsync.callbacks.dispatcher import CallbackDispatcher

RECORD = """
import sys
import time
from langchain_core.language_models import FakeListLLM
from plsync import PromptLayerCallbackHandler

def on_id(request_id):
    print(time.time_ns(), flush=True)

handler = PromptLayerCallbackHandler(on_id, journal=sys.argv[1])
for _ in range(int(sys.argv[2])):
    FakeListLLM(responses=["yes"]).invoke("hi", {"callbacks": [handler]})
print("recorded", flush=True)
sys.stdin.read()
"""


class Functions:
    """One function for every sink."""

    def __init__(self, functions: dict[str, Callable[[int], object]]) -> None:
        self._functions = functions

    def may_find(self, sink: str) -> bool:
        return sink in self._functions

    def find(self, sink: str) -> Callable[[int], object]:
        return self._functions[sink]


def latencies_ms(path: Path, rounds: int) -> list[float]:
    """Milliseconds from the commit of an ack in this process to the call in another process that waits."""
    command = [sys.executable, "-c", RECORD, str(path), str(rounds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        latencies = []
        with Journal.open(path) as journal:
            journal.ingest(wait=True)
            for seq in range(1, rounds + 1):
                # The ack comes at a random moment of the other process's polling.
                time.sleep(random.uniform(0.05, 0.5))  # noqa: S311
                journal.outbox.ack([(seq, 1000 + seq)])
                acked = time.time_ns()
                latencies.append((int(process.stdout.readline()) - acked) / 1e6)
        process.communicate("")
    return latencies


def record(path: Path, sinks: list[str]) -> None:
    """Record one call for each sink, in a process that ends."""
    program = (
        "import sys\n"
        "from langchain_core.language_models import FakeListLLM\n"
        "from plsync import PromptLayerCallbackHandler\n"
        "for sink in sys.stdin.read().split():\n"
        "    exec(f'def {sink}(request_id): pass')\n"
        "    handler = PromptLayerCallbackHandler(globals()[sink], journal=sys.argv[1])\n"
        "    FakeListLLM(responses=['yes']).invoke('hi', {'callbacks': [handler]})\n"
    )
    subprocess.run([sys.executable, "-c", program, str(path)], input=" ".join(sinks), text=True, check=True)


def drain(path: Path, slow: float | None) -> float:
    """Seconds until the fast function has all its ids.

    Args:
        path: a journal with records that ``record`` wrote.
        slow: the seconds that a call of the slow function takes, or None without a slow function.
    """
    called = threading.Semaphore(0)
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        count = journal.last_seq()
        journal.outbox.ack([(seq, seq) for seq in range(1, count + 1)])
        fast = 0
        functions: dict[str, Callable[[int], object]] = {}
        for sink in journal.callbacks.waiting():
            functions[sink.sink] = lambda _: time.sleep(slow or 0)
            if sink.sink.endswith("fast"):
                functions[sink.sink] = lambda _: called.release()
                fast += sink.waiting
        dispatcher = CallbackDispatcher(journal, functions=Functions(functions))
        began = time.perf_counter()
        dispatcher.start()
        for _ in range(fast):
            called.acquire()
        took = time.perf_counter() - began
        dispatcher.stop(10)
    return took


def drain_sqlite(path: Path, count: int) -> float:
    """Seconds until the peer has called a function for each of ``count`` ids."""
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("pragma journal_mode=wal")
    database.execute("pragma synchronous=full")
    database.execute("create table queue (seq integer primary key, request_id integer, taken integer)")
    database.execute("begin")
    database.executemany("insert into queue values (?, ?, 0)", ((seq, seq) for seq in range(count)))
    database.execute("commit")
    called = 0
    began = time.perf_counter()
    while row := database.execute("select seq, request_id from queue where taken = 0 order by seq limit 1").fetchone():
        database.execute("update queue set taken = 1 where seq = ?", row[:1])
        called += 1
        database.execute("delete from queue where seq = ?", row[:1])
    took = time.perf_counter() - began
    database.close()
    return took


def idle(path: Path, seconds: float) -> float:
    """The CPU of a process that waits for request ids, over the same process without a callback.

    Returns:
        A share of one core, from 0 to 1.
    """
    program = (
        "import sys, time\n"
        "from langchain_core.language_models import FakeListLLM\n"
        "from plsync import PromptLayerCallbackHandler\n"
        "handler = PromptLayerCallbackHandler(print if sys.argv[2] == 'waits' else None, journal=sys.argv[1])\n"
        "FakeListLLM(responses=['yes']).invoke('hi', {'callbacks': [handler]})\n"
        "time.sleep(3)\n"
        "before = time.process_time()\n"
        f"time.sleep({seconds})\n"
        "print(time.process_time() - before)\n"
    )
    took = []
    for kind in ("waits", "does not"):
        command = [sys.executable, "-c", program, str(path / kind.replace(" ", "")), kind]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        took.append(float(done.stdout))
    return (took[0] - took[1]) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ids", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle", type=float, default=20.0)
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        alone, beside, peer = [], [], []
        for number in range(options.rounds):
            path = root / f"alone-{number}"
            record(path, ["fast"] * options.ids)
            alone.append(drain(path, None))
            path = root / f"beside-{number}"
            record(path, ["slow", "fast"] * (options.ids // 10) + ["fast"] * (options.ids - options.ids // 10))
            beside.append(drain(path, 1.0))
            peer.append(drain_sqlite(root / f"peer-{number}", options.ids))
        per_id = {
            name: statistics.median(times) / options.ids * 1e6
            for name, times in (("plsync", alone), ("beside a function of 1 s per call", beside), ("SQLite", peer))
        }
        for name, micros in per_id.items():
            print(f"{name}: {micros:,.0f} us an id, {1e6 / micros:,.0f} a second ({micros / per_id['SQLite']:.2f} x)")
        waits = sorted(latencies_ms(root / "latency", 40))
        print(
            f"from the ack to the call in another process: {statistics.median(waits):.0f} ms, at most {waits[-1]:.0f}"
        )
        (root / "idle").mkdir()
        print(f"waiting costs {100 * idle(root / 'idle', options.idle):.3f} % of a core")


if __name__ == "__main__":
    main()
