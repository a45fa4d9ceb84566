"""How many records a second the PromptLayer stand-in takes: a bench against it measures the sender, if it is faster.

Usage: python benches/python/testing.py [--batches N] [--rounds N]

The stand-in runs in a process of its own, as ``python -m plsync.testing``. Another process sends it batches of 100
spans of 3.2 KB with their logs, made beforehand, over 1, 4 and 16 connections at a time. Medians of rounds.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import orjson

OPTIONS: dict[str, list[str]] = {
    "as it comes": [],
    "--no-validate": ["--no-validate"],
    "--keep ids": ["--keep", "ids"],
    "--keep ids --no-validate": ["--keep", "ids", "--no-validate"],
}
CONNECTIONS = (1, 4, 16)
BATCH = 100


def span(number: int) -> dict[str, Any]:
    words = "The quick brown fox jumps over the lazy dog. " * 16
    said = {"template_format": "jinja2", "input_variables": []}
    sent = [
        {"role": "system", "content": [{"type": "text", "text": words}], **said},
        {"role": "user", "content": [{"type": "text", "text": words}], **said},
    ]
    answer = {"role": "assistant", "content": [{"type": "text", "text": words}], **said}
    log = {
        "provider": "openai",
        "model": "gpt-4o",
        "input": {"type": "chat", "messages": sent},
        "output": {"type": "chat", "messages": [answer]},
        "request_start_time": "2026-11-22T10:00:00.000000Z",
        "request_end_time": "2026-11-22T10:00:01.000000Z",
        "parameters": {"temperature": 0.5},
        "tags": ["bench"],
        "metadata": {"plsync_id": f"{number:032x}", "user": "u1"},
        "input_tokens": 300,
        "output_tokens": 150,
        "status": "SUCCESS",
    }
    return {
        "name": "ChatOpenAI",
        "context": {"trace_id": f"{number:032x}", "span_id": f"{number:016x}", "trace_state": ""},
        "kind": "SpanKind.CLIENT",
        "start_time": 1_795_378_479_779_262_001,
        "end_time": 1_795_378_480_779_262_001,
        "status": {"status_code": "StatusCode.OK"},
        "attributes": {"node_type": "LLM_CALL"},
        "resource": {"attributes": {"service.name": "bench"}, "schema_url": ""},
        "log_request": log,
    }


@contextlib.contextmanager
def stand_in(options: list[str]) -> Iterator[tuple[str, str]]:
    """The host and key of a stand-in in another process."""
    command = [sys.executable, "-m", "plsync.testing", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            url, key = (line.strip().partition("=")[2] for _, line in zip(range(2), process.stdout or [], strict=False))
            yield url.partition("//")[2], key
        finally:
            process.terminate()


def send(host: str, key: str, bodies: list[bytes], connections: int) -> None:
    """Send every body, over so many connections."""
    left, guard = iter(bodies), threading.Lock()

    def work() -> None:
        connection = http.client.HTTPConnection(host)
        while True:
            with guard:
                body = next(left, None)
            if body is None:
                return
            connection.request("POST", "/spans-bulk", body, {"X-API-KEY": key, "Content-Type": "application/json"})
            answer = connection.getresponse()
            if answer.status != 201:
                raise RuntimeError(answer.read())
            answer.read()

    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def timed(host: str, key: str, numbers: range, connections: int, found: Any) -> None:
    """In a process of its own: how long sending takes, without making what is sent."""
    starts = range(numbers.start, numbers.stop, BATCH)
    bodies = [orjson.dumps({"spans": [span(number) for number in range(start, start + BATCH)]}) for start in starts]
    begin = time.perf_counter()
    send(host, key, bodies, connections)
    found.put(time.perf_counter() - begin)


def main() -> None:
    parser = argparse.ArgumentParser(description="Records a second that the stand-in takes.")
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    records = options.batches * BATCH
    size = len(orjson.dumps(span(1)))
    print(f"records a second, {size:,} bytes each (Python {platform.python_version()}, {os.cpu_count()} cores)")
    print(f"{'':26}" + "".join(f"{f'{count} connections':>16}" for count in CONNECTIONS))
    context = multiprocessing.get_context("spawn")
    found = context.Queue()
    for name, arguments in OPTIONS.items():
        rates: dict[int, list[float]] = {count: [] for count in CONNECTIONS}
        with stand_in(arguments) as (host, key):
            for number in range(options.rounds * len(CONNECTIONS)):
                count = CONNECTIONS[number % len(CONNECTIONS)]
                numbers = range(number * records, (number + 1) * records)
                sender = context.Process(target=timed, args=(host, key, numbers, count, found))
                sender.start()
                rates[count].append(records / found.get(timeout=300))
                sender.join()
        medians = "".join(f"{statistics.median(rates[count]):16,.0f}" for count in CONNECTIONS)
        print(f"{name:26}{medians}")


if __name__ == "__main__":
    main()
