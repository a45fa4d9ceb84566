"""The records per second that the PromptLayer stand-in receives. Other benches measure the sender only if it is faster.

Usage: python benches/python/testing.py [--batches N] [--rounds N]

The stand-in runs in its own process, as ``python -m plsync.testing``. Another process sends batches of 100 spans with
their logs, 3.2 KB a span, over 1, 4 and 16 connections. It builds the batches before it starts its clock. The figures
are medians of rounds.
"""

from __future__ import annotations

import argparse
import http.client
import multiprocessing
import os
import platform
import statistics
import threading
import time
from typing import Any

import orjson

from common import stand_in
from plsync.testing.server import DEFAULT_API_KEY

OPTIONS: dict[str, list[str]] = {
    "no options": [],
    "--no-validate": ["--no-validate"],
    "--keep ids": ["--keep", "ids"],
    "--keep ids --no-validate": ["--keep", "ids", "--no-validate"],
}
CONNECTIONS = (1, 4, 16)
BATCH = 100


def span(number: int) -> dict[str, Any]:
    """A span with its log, as the sender builds it for a chat call."""
    words = "The quick brown fox jumps over the lazy dog. " * 16
    content = {"content": [{"type": "text", "text": words}], "template_format": "jinja2", "input_variables": []}
    log = {
        "provider": "openai",
        "model": "gpt-4o",
        "input": {"type": "chat", "messages": [{"role": role, **content} for role in ("system", "user")]},
        "output": {"type": "chat", "messages": [{"role": "assistant", **content}]},
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


def send(host: str, bodies: list[bytes], connections: int) -> None:
    """Send every body, over ``connections`` connections at a time."""
    left, guard = iter(bodies), threading.Lock()
    headers = {"X-API-KEY": DEFAULT_API_KEY, "Content-Type": "application/json"}

    def work() -> None:
        connection = http.client.HTTPConnection(host)
        while True:
            with guard:
                body = next(left, None)
            if body is None:
                return
            connection.request("POST", "/spans-bulk", body, headers)
            response = connection.getresponse()
            if response.status != 201:
                raise RuntimeError(response.read())
            response.read()

    threads = [threading.Thread(target=work) for _ in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def time_sending(host: str, numbers: range, connections: int, seconds: Any) -> None:
    """Put the seconds that sending takes into a queue. Runs in its own process."""
    starts = range(numbers.start, numbers.stop, BATCH)
    bodies = [orjson.dumps({"spans": [span(number) for number in range(start, start + BATCH)]}) for start in starts]
    began = time.perf_counter()
    send(host, bodies, connections)
    seconds.put(time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description="The records per second that the stand-in receives.")
    parser.add_argument("--batches", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    records = options.batches * BATCH
    size = len(orjson.dumps(span(1)))
    print(f"records per second, {size:,} bytes each (Python {platform.python_version()}, {os.cpu_count()} cores)")
    print(f"{'':26}" + "".join(f"{f'{count} connections':>16}" for count in CONNECTIONS))
    context = multiprocessing.get_context("spawn")
    seconds = context.Queue()
    for name, arguments in OPTIONS.items():
        rates: dict[int, list[float]] = {count: [] for count in CONNECTIONS}
        with stand_in(*arguments) as url:
            host = url.partition("//")[2]
            for number in range(options.rounds * len(CONNECTIONS)):
                count = CONNECTIONS[number % len(CONNECTIONS)]
                numbers = range(number * records, (number + 1) * records)
                sender = context.Process(target=time_sending, args=(host, numbers, count, seconds))
                sender.start()
                rates[count].append(records / seconds.get(timeout=300))
                sender.join()
        medians = "".join(f"{statistics.median(rates[count]):16,.0f}" for count in CONNECTIONS)
        print(f"{name:26}{medians}")


if __name__ == "__main__":
    main()
