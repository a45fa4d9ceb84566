"""How fast a backlog reaches PromptLayer, beside a loop over the SDK's ``log_request``, in one run.

Usage: python benches/python/delivery.py [--records N] [--backlog N] [--json]

The stand-in runs in a process of its own, without validation, as it would otherwise be what is measured. Both sides
send the same chat calls of about 3 KB. ``--backlog`` sends so many records with ``plsync run --once`` and watches its
memory and its rate.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from common import FixedChat
from plsync import Journal, PromptLayerCallbackHandler
from plsync.delivery.policy import SendPolicy
from plsync.delivery.sender import Sender
from plsync.promptlayer.client import PromptLayerClient
from plsync.promptlayer.mapping.blueprint import span
from plsync.testing.server import DEFAULT_API_KEY

ROUNDS = 5
LATENCIES = (0.0, 0.05)
# Enough for a median: each of these takes a whole round trip.
SDK_CALLS = {0.0: 100, 0.05: 20}
RUN = [sys.executable, "-c", "from plsync.cli import main; main()", "run"]

CALL: list[BaseMessage] = [
    SystemMessage("You answer questions about the catalogue, briefly and in the language of the question. " * 4),
    HumanMessage("Which of the toasters that you have takes four slices and can be cleaned without tools? " * 8),
    AIMessage("The T4 and the T4 Plus. Both have a tray that slides out, and the Plus one reheats as well. " * 8),
    HumanMessage("And what do they cost, with delivery to Lyon before the weekend? " * 8),
]


@contextlib.contextmanager
def serving(latency: float = 0.0, port: int = 0) -> Iterator[str]:
    """A stand-in in a process of its own; its URL."""
    options = ["--no-validate", "--keep", "ids", "--latency", str(latency), "--port", str(port)]
    command = [sys.executable, "-m", "plsync.testing", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip().partition("=")[2]
        process.kill()


def record(path: Path, calls: int) -> None:
    """Chat calls of about 3 KB."""
    handler = PromptLayerCallbackHandler(journal=path, pl_tags=["bench"])
    model = FixedChat()
    for number in range(calls):
        model.invoke(CALL, {"callbacks": [handler], "metadata": {"customer": str(number)}})


def drained(path: Path, url: str) -> float:
    """Records a second that the sender delivers."""
    with Journal.open(path) as journal, PromptLayerClient(DEFAULT_API_KEY, url) as client:
        journal.ingest(wait=True)
        sender = Sender(journal, client, SendPolicy())
        begun = time.perf_counter()
        result = sender.run_pass()
        rate = result.acked / (time.perf_counter() - begun)
        assert result.halt is None
    return rate


def looped(path: Path, url: str, calls: int) -> float:
    """Records a second that a loop over the SDK delivers."""
    from promptlayer import PromptLayer  # noqa: PLC0415 - slow to import

    sdk = PromptLayer(api_key=DEFAULT_API_KEY, base_url=url)
    with Journal.open(path) as journal:
        logs = [_for_sdk(span(found)["log_request"]) for found in journal.records(limit=calls)]
    begun = time.perf_counter()
    for log in logs:
        sdk.log_request(**log)
    return len(logs) / (time.perf_counter() - begun)


def _for_sdk(log: dict[str, Any]) -> dict[str, Any]:
    return {**log, "request_start_time": 1.0, "request_end_time": 2.0}


def compare(records: int, directory: Path) -> dict[str, dict[str, float]]:
    """Records a second by latency: medians of both sides, round by round."""
    table = {}
    for latency in LATENCIES:
        ours, theirs = [], []
        with serving(latency) as url:
            for number in range(ROUNDS):
                path = directory / f"{latency}-{number}"
                record(path, records)
                ours.append(drained(path, url))
                theirs.append(looped(path, url, SDK_CALLS[latency]))
        ratio = statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
        medians = {"plsync": statistics.median(ours), "SDK": statistics.median(theirs), "ratio": ratio}
        table[f"{latency * 1000:.0f} ms"] = medians
    return table


def started(path: Path, url: str, *options: str) -> subprocess.Popen[str]:
    """``plsync run`` on this journal."""
    settings = {"PLSYNC_JOURNAL": str(path), "PROMPTLAYER_API_KEY": DEFAULT_API_KEY, "PROMPTLAYER_BASE_URL": url}
    command = [*RUN, "--json", *options]
    return subprocess.Popen(command, env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True)


def first_acks(directory: Path) -> list[float]:
    """Seconds from a server's return to the first ack, of a run that has waited for it."""
    seconds = []
    for number in range(ROUNDS):
        path = directory / f"return-{number}"
        record(path, 1)
        with serving() as url:
            port = int(url.rpartition(":")[2])
        with started(path, url) as run:
            assert run.stdout is not None
            while json.loads(run.stdout.readline())["event"] != "waiting":
                pass
            # Some way into its pauses, each time another.
            time.sleep(3 + number * 0.37)
            with serving(port=port):
                begun = time.perf_counter()
                while json.loads(run.stdout.readline())["event"] != "acked":
                    pass
                seconds.append(time.perf_counter() - begun)
            run.kill()
    return seconds


def backlog(records: int, directory: Path) -> dict[str, float]:
    """A long backlog: peak memory in MB, and the rate in the first and the last tenth."""
    path = directory / "backlog"
    record(path, records)
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
    seen: list[tuple[float, int]] = []
    peak = 0
    with serving() as url, started(path, url, "--once") as run:
        while not seen or seen[-1][1] < records:
            assert run.poll() in {None, 0}
            seen.append((time.perf_counter(), httpx.get(f"{url}/stand-in/counts", headers=_KEY).json()["spans"]))
            peak = max(peak, _peak_kib(run.pid))
            time.sleep(0.2)
    tenth = records // 10
    first = next(at for at in seen if at[1] >= tenth)
    last = next(at for at in seen if at[1] >= records - tenth)
    start = next(at for at in reversed(seen) if at[1] == 0)
    end = next(at for at in seen if at[1] >= records)
    return {
        "peak MB": peak * 1024 / 1e6,
        "first tenth, records/s": first[1] / (first[0] - start[0]),
        "last tenth, records/s": (end[1] - last[1]) / (end[0] - last[0]),
        "all, records/s": records / (end[0] - start[0]),
    }


_KEY = {"X-API-KEY": DEFAULT_API_KEY}


def _peak_kib(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="How fast a backlog reaches PromptLayer.")
    parser.add_argument("--records", type=int, default=2000, help="records a round (default: 2000)")
    parser.add_argument("--backlog", type=int, default=0, help="also send so many at once (default: none)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        table = compare(options.records, directory)
        returned = first_acks(directory)
        long = backlog(options.backlog, directory) if options.backlog else {}
    acks = {"median": statistics.median(returned), "worst": max(returned)}
    if options.json:
        json.dump({"records_per_second": table, "first_ack_seconds": acks, "backlog": long}, sys.stdout, indent=2)
        return
    print(f"records a second (Python {platform.python_version()}, {os.cpu_count()} cores, {ROUNDS} rounds, medians)")
    print(f"{'latency':10}{'plsync':>12}{'SDK loop':>12}{'ratio':>10}")
    for latency, row in table.items():
        print(f"{latency:10}{row['plsync']:12,.0f}{row['SDK']:12,.1f}{row['ratio']:9.1f}x")
    print(f"from the server's return to the first ack: {acks['median']:.2f} s, at worst {acks['worst']:.2f} s")
    for what, figure in long.items():
        print(f"backlog of {options.backlog:,}: {what}: {figure:,.0f}")


if __name__ == "__main__":
    main()
