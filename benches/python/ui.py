"""The page of a large journal: start, pages, counts, sums, searches and memory, beside Datasette over the same rows.

Usage: python benches/python/ui.py [--records N] [--journal DIR] [--datasette PYTHON]

The journal is the one of digests.py. ``--datasette`` names the interpreter of an environment with Datasette. Its table
has the same calls, with an index for each column that the filters use. Each figure is the median of five requests over
HTTP.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx

from common import machine
from digests import record
from plsync import Journal

ROUNDS = 5
PLSYNC = Path(sys.executable).with_name("plsync")
FILTERS = {"tag": "even", "model": "model-2", "result": "error"}
INDEXES = ("started", "model", "result", "tag")


def median_ms(work: Callable[[], Any]) -> float:
    """The median of a few requests, in ms."""
    spent = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        work()
        spent.append((time.perf_counter() - begin) * 1000)
    return statistics.median(spent)


@contextlib.contextmanager
def plsync_page(journal: Path) -> Iterator[tuple[httpx.Client, int, float]]:
    """The page, its process, and the ms from its start to its first list of calls."""
    begin = time.perf_counter()
    command = [str(PLSYNC), "ui", "--no-open", "--json", "--port", "0", "--journal", str(journal)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            origin, _, token = json.loads(process.stdout.readline())["link"].partition("/#t=")
            headers = {"authorization": f"Bearer {token}"}
            with httpx.Client(base_url=origin, headers=headers, timeout=60) as client:
                for address in ("/", "/app.js", "/app.css", "/api/journal", "/api/calls"):
                    client.get(address).raise_for_status()
                yield client, process.pid, (time.perf_counter() - begin) * 1000
        finally:
            process.terminate()


@contextlib.contextmanager
def datasette_page(python: str, database: Path) -> Iterator[tuple[httpx.Client, int, float]]:
    """Datasette, its process, and the ms from its start to its first list of calls."""
    begin = time.perf_counter()
    socket = database.with_suffix(".sock")
    command = [python, "-m", "datasette", "serve", str(database), "--uds", str(socket)]
    command += ["--setting", "sql_time_limit_ms", "60000", "--setting", "facet_time_limit_ms", "60000"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            transport = httpx.HTTPTransport(uds=str(socket))
            with httpx.Client(base_url="http://localhost", transport=transport, timeout=120) as client:
                while True:
                    try:
                        client.get("/rows/calls?_size=50").raise_for_status()
                        break
                    except httpx.TransportError:
                        time.sleep(0.02)
                yield client, process.pid, (time.perf_counter() - begin) * 1000
        finally:
            process.terminate()


def write_rows(journal: Path, database: Path) -> None:
    """The calls as rows of SQLite, as people keep them in Datasette."""
    with sqlite3.connect(database) as rows, Journal.open(journal) as opened:
        rows.execute(
            "CREATE TABLE calls (id TEXT PRIMARY KEY, started REAL, model TEXT, result TEXT, tag TEXT, thread TEXT,"
            " took INTEGER, input_tokens INTEGER, output_tokens INTEGER, input TEXT, output TEXT)"
        )
        rows.executemany("INSERT INTO calls VALUES (?,?,?,?,?,?,?,?,?,?,?)", map(row_of, opened.records()))
        for column in INDEXES:
            rows.execute(f"CREATE INDEX calls_{column} ON calls ({column})")
        rows.execute("ANALYZE")


def row_of(call: Any) -> tuple[Any, ...]:
    """One call as a row."""
    usage = call.usage or {}
    return (
        call.id,
        call.started_ns / 1e9,
        call.model,
        call.status,
        next((tag for tag in call.tags if tag != "bench"), ""),
        call.metadata["thread_id"],
        call.duration_ns,
        usage.get("input_tokens"),
        usage.get("output_tokens"),
        json.dumps(call.input),
        call.output[0]["text"] if call.output else None,
    )


def memory_mb(pid: int) -> tuple[float, float]:
    """The resident memory of a process, and its part that no file backs, in MB."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    found = {
        line.partition(":")[0]: line.split()[1] for line in status.splitlines() if line.startswith(("VmRSS", "RssAnon"))
    }
    return int(found["VmRSS"]) / 1000, int(found["RssAnon"]) / 1000


def first_line(client: httpx.Client, text: str, kind: str) -> None:
    """Wait for the first line of a kind of a search."""
    with client.stream("GET", "/api/search", params={"q": text}) as found:
        for line in found.iter_lines():
            if json.loads(line)["type"] in (kind, "end"):
                return


def measure_plsync(journal: Path) -> None:
    """Print the figures of the page."""
    with plsync_page(journal) as (client, pid, start):
        print(f"{'start to the first list of calls':<52} {start:8.1f} ms")
        works: dict[str, Callable[[], Any]] = {
            "a page of 50, newest": lambda: client.get("/api/calls"),
            "a page of 50, by tag, model and result": lambda: client.get("/api/calls", params=FILTERS),
            "a page of 50, slowest": lambda: client.get("/api/calls", params={"sort": "took"}),
            "count, by tag, model and result": lambda: client.get("/api/count", params=FILTERS),
            "facets": lambda: client.get("/api/facets"),
            "facets, by model": lambda: client.get("/api/facets", params={"model": "model-2"}),
            "histogram": lambda: client.get("/api/histogram"),
            "usage by model and day": lambda: client.get("/api/usage?by=model&step=day"),
            "delivery": lambda: client.get("/api/delivery"),
            "conversations": lambda: client.get("/api/conversations"),
            "first hit of a frequent word": lambda: first_line(client, "cassette", "hit"),
            "first answer of a search for an absent word": lambda: first_line(client, "zebra", "progress"),
        }
        for name, work in works.items():
            print(f"{name:<52} {median_ms(work):8.1f} ms")
        resident, anonymous = memory_mb(pid)
        print(f"{'resident memory, of it without pages of the store':<52} {resident:8.1f} MB, {anonymous:.1f} MB")


def measure_datasette(python: str, journal: Path, database: Path) -> None:
    """Print the figures of Datasette."""
    begin = time.perf_counter()
    write_rows(journal, database)
    print(f"\nDatasette: {os.path.getsize(database) / 1e6:,.0f} MB, written in {time.perf_counter() - begin:.0f} s")
    # Without the total and the suggestions of facets, which the page does not have.
    filters = {"_size": "50", "_sort_desc": "started", "_shape": "objects", "_nocount": "1", "_nosuggest": "1"}
    chosen = {**filters, "tag": "even", "model": "model-2", "result": "error"}
    faceted = {**filters, "_facet": ["model", "result", "tag"]}
    with datasette_page(python, database) as (client, pid, start):
        print(f"{'start to the first list of calls':<52} {start:8.1f} ms")
        for name, query in {
            "a page of 50, newest": filters,
            "a page of 50, by tag, model and result": chosen,
            "a page of 50, slowest": {**filters, "_sort_desc": "took"},
            "facets": faceted,
        }.items():
            address = httpx.URL("/rows/calls.json", params=query)
            print(f"{name:<52} {median_ms(functools.partial(client.get, address)):8.1f} ms")
        resident, _ = memory_mb(pid)
        print(f"{'resident memory':<52} {resident:8.1f} MB")


def main() -> None:
    """Parse the arguments and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--journal", type=Path)
    parser.add_argument("--datasette", metavar="PYTHON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        journal = options.journal or Path(directory) / "journal"
        if not journal.exists():
            record(journal, options.records)
        with Journal.open(journal) as opened:
            print(f"{machine()}, {opened.stats().records:,} records\n")
        measure_plsync(journal)
        if options.datasette:
            measure_datasette(options.datasette, journal, Path(directory) / "rows.db")


if __name__ == "__main__":
    main()
