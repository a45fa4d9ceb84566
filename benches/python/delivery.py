"""The rate at which a backlog reaches PromptLayer, beside a loop over the SDK's ``log_request``, in one run.

Usage: python benches/python/delivery.py [--records N] [--backlog N] [--json]

The stand-in runs in its own process and does not validate, because its work would be measured otherwise. Both sides
send the same chat calls of about 3 KB. ``--backlog`` sends as many records with ``plsync run --once``, and reads the
memory of that process and the rate in the first and the last tenth.
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
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import orjson
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage

from common import FixedChat, stand_in
from plsync import Journal, PromptLayerCallbackHandler
from plsync.delivery.policy import SendPolicy
from plsync.delivery.sender import Sender
from plsync.promptlayer.client import PromptLayerClient
from plsync.promptlayer.mapping.blueprint import span
from plsync.testing.server import DEFAULT_API_KEY

ROUNDS = 5
LATENCIES = (0.0, 0.05)
# Each call of the SDK takes a whole round trip, so a median needs few.
SDK_CALLS = {0.0: 100, 0.05: 20}
STAND_IN = ["--no-validate", "--keep", "ids"]
RUN = [sys.executable, "-c", "from plsync.cli import main; main()", "run"]

CALL: list[BaseMessage] = [
    SystemMessage("You answer questions about the catalogue, briefly and in the language of the question. " * 4),
    HumanMessage("Which of the toasters that you have takes four slices and can be cleaned without tools? " * 8),
    AIMessage("The T4 and the T4 Plus. Both have a tray that slides out, and the Plus one reheats as well. " * 8),
    HumanMessage("And what do they cost, with delivery to Lyon before the weekend? " * 8),
]


def record(path: Path, calls: int) -> None:
    """Record chat calls of about 3 KB."""
    handler = PromptLayerCallbackHandler(journal=path, pl_tags=["bench"])
    model = FixedChat()
    for number in range(calls):
        model.invoke(CALL, {"callbacks": [handler], "metadata": {"customer": str(number)}})


def send_with_plsync(path: Path, url: str) -> float:
    """Send a journal in one pass, and return the records per second."""
    with Journal.open(path) as journal, PromptLayerClient(DEFAULT_API_KEY, url) as client:
        journal.ingest(wait=True)
        sender = Sender(journal, client, SendPolicy())
        began = time.perf_counter()
        result = sender.run_pass()
        rate = result.acked / (time.perf_counter() - began)
        assert result.halt is None
    return rate


def send_with_the_sdk(path: Path, url: str, calls: int) -> float:
    """Send the newest calls of a journal in a loop over the SDK, and return the records per second."""
    from promptlayer import PromptLayer  # noqa: PLC0415 - slow to import

    sdk = PromptLayer(api_key=DEFAULT_API_KEY, base_url=url)
    with Journal.open(path) as journal:
        logs = [_for_the_sdk(span(one)["log_request"]) for one in journal.records(limit=calls)]
    began = time.perf_counter()
    for log in logs:
        sdk.log_request(**log)
    return len(logs) / (time.perf_counter() - began)


def _for_the_sdk(log: dict[str, Any]) -> dict[str, Any]:
    return {**log, "request_start_time": 1.0, "request_end_time": 2.0}


def compare(records: int, directory: Path) -> dict[str, dict[str, float]]:
    """Records per second by latency: the medians of both sides, and the median of their ratio in a round."""
    table = {}
    for latency in LATENCIES:
        ours, theirs = [], []
        with stand_in(*STAND_IN, "--latency", str(latency)) as url:
            for number in range(ROUNDS):
                path = directory / f"{latency}-{number}"
                record(path, records)
                ours.append(send_with_plsync(path, url))
                theirs.append(send_with_the_sdk(path, url, SDK_CALLS[latency]))
        ratio = statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
        medians = {"plsync": statistics.median(ours), "SDK": statistics.median(theirs), "ratio": ratio}
        table[f"{latency * 1000:.0f} ms"] = medians
    return table


def bytes_of_a_call(directory: Path) -> tuple[int, int]:
    """The JSON of a call in the journal, and in a request to PromptLayer."""
    record(directory / "one", 1)
    with Journal.open(directory / "one") as journal:
        [call] = journal.records()
        return call.size, len(orjson.dumps(span(call)))


def plsync_run(path: Path, url: str, *options: str) -> subprocess.Popen[str]:
    """Start ``plsync run`` on a journal."""
    settings = {"PLSYNC_JOURNAL": str(path), "PROMPTLAYER_API_KEY": DEFAULT_API_KEY, "PROMPTLAYER_BASE_URL": url}
    command = [*RUN, "--json", *options]
    return subprocess.Popen(command, env={**os.environ, **settings}, stdout=subprocess.PIPE, text=True)


def seconds_to_the_first_ack(directory: Path) -> list[float]:
    """Seconds from the return of a server to the first ack of a run that was waiting for it."""
    seconds = []
    for number in range(ROUNDS):
        path = directory / f"return-{number}"
        record(path, 1)
        with stand_in(*STAND_IN) as url:
            port = url.rpartition(":")[2]
        with plsync_run(path, url) as run:
            assert run.stdout is not None
            while json.loads(run.stdout.readline())["event"] != "waiting":
                pass
            # The server returns at another moment of the run's pauses in each round.
            time.sleep(3 + number * 0.37)
            with stand_in(*STAND_IN, "--port", port):
                began = time.perf_counter()
                while json.loads(run.stdout.readline())["event"] != "acked":
                    pass
                seconds.append(time.perf_counter() - began)
            run.kill()
    return seconds


def backlog(records: int, directory: Path) -> dict[str, float]:
    """Send a long backlog, and return the peak memory in MB and the rates of its first and last tenth."""
    path = directory / "backlog"
    record(path, records)
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
    # When the stand-in had received how many records.
    progress: list[tuple[float, int]] = []
    peak = 0
    with stand_in(*STAND_IN) as url, plsync_run(path, url, "--once") as run:
        while not progress or progress[-1][1] < records:
            assert run.poll() in {None, 0}
            counts = httpx.get(f"{url}/stand-in/counts", headers={"X-API-KEY": DEFAULT_API_KEY}).json()
            progress.append((time.perf_counter(), counts["spans"]))
            peak = max(peak, _peak_kib(run.pid))
            time.sleep(0.2)
    tenth = records // 10
    first = next(at for at in progress if at[1] >= tenth)
    last = next(at for at in progress if at[1] >= records - tenth)
    start = next(at for at in reversed(progress) if at[1] == 0)
    end = next(at for at in progress if at[1] >= records)
    return {
        "peak MB": peak * 1024 / 1e6,
        "first tenth, records/s": first[1] / (first[0] - start[0]),
        "last tenth, records/s": (end[1] - last[1]) / (end[0] - last[0]),
        "all, records/s": records / (end[0] - start[0]),
    }


def _peak_kib(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1])
    return 0


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The rate at which a backlog reaches PromptLayer.")
    parser.add_argument("--records", type=int, default=2000, help="records in a round (default: 2000)")
    parser.add_argument("--backlog", type=int, default=0, help="also send a backlog of this size (default: none)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        table = compare(options.records, directory)
        stored, sent = bytes_of_a_call(directory)
        first_acks = seconds_to_the_first_ack(directory)
        long = backlog(options.backlog, directory) if options.backlog else {}
    acks = {"median": statistics.median(first_acks), "worst": max(first_acks)}
    if options.json:
        figures = {"records_per_second": table, "bytes": {"stored": stored, "sent": sent}, "first_ack_seconds": acks}
        json.dump({**figures, "backlog": long}, sys.stdout, indent=2)
        return
    print(f"records per second (Python {platform.python_version()}, {os.cpu_count()} cores, {ROUNDS} rounds, medians)")
    print(f"{'latency':10}{'plsync':>12}{'SDK loop':>12}{'ratio':>10}")
    for latency, row in table.items():
        print(f"{latency:10}{row['plsync']:12,.0f}{row['SDK']:12,.1f}{row['ratio']:9.1f}x")
    print(f"a call: {stored:,} bytes of JSON in the journal, {sent:,} in a request")
    print(f"from the server's return to the first ack: {acks['median']:.2f} s, at worst {acks['worst']:.2f} s")
    for label, figure in long.items():
        print(f"backlog of {options.backlog:,}: {label}: {figure:,.0f}")


if __name__ == "__main__":
    main()
