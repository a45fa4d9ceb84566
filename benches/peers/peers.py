"""plsync beside the recorders that a user of LangChain would pick instead, in one run.

Usage: python benches/peers/peers.py [--only NAME ...] [--rounds N] [--quick] [--json FILE]

``make peers`` runs it. It installs each recorder into an environment under build/peers, measures all of them in turn,
and prints a table. docs/internals/peers.md has its figures.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import environments
import measures
from recorders import RECORDERS

COUNTS = {"call": 50, "call of 8 KB": 50, "token": 5, "agent": 10}
"""Calls of each work in a round."""
PARTS = {"call": 1, "call of 8 KB": 1, "token": 100, "agent": 1000}
"""The time of a stream is divided by its tokens, and the time of an agent is in milliseconds."""
UNITS = {"call": "µs", "call of 8 KB": "µs", "token": "µs", "agent": "ms"}
Table = dict[str, dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description="plsync beside other recorders of LangChain.")
    parser.add_argument("--only", nargs="+", choices=list(RECORDERS), help="these recorders alone")
    parser.add_argument("--quick", action="store_true", help="few rounds and short outages, to try the bench itself")
    parser.add_argument("--rounds", type=int, default=60, help="turns of each recorder (default: 60)")
    parser.add_argument("--json", type=Path, help="a file for the figures")
    options = parser.parse_args()
    names = [name for name in RECORDERS if not options.only or name in {"no-op", *options.only}]
    failed = environments.build(names)
    names = [name for name in names if name not in failed]
    load = os.getloadavg()[0]
    table = _measured(names, 5 if options.quick else options.rounds, quick=options.quick)
    _print(table, failed, load)
    if options.json:
        options.json.write_text(json.dumps(table, indent=2))


def _measured(names: list[str], rounds: int, *, quick: bool) -> Table:
    table: Table = {name: {} for name in names}
    others = [name for name in names if name != "no-op"]

    def add(title: str, found: dict[str, Any]) -> None:
        print(f"{time.strftime('%H:%M:%S')} {title}", file=sys.stderr)
        for name, value in found.items():
            table[name][title] = value

    costs = measures.costs(names, rounds, COUNTS, PARTS)
    add("costs", costs)
    add("kill at once", measures.kept(others, 200, "0"))
    add("kill after 5 s", measures.kept(others, 200, "5"))
    add("clean end", measures.kept(others, 200, "end"))
    add("outage", measures.arrivals(others, 200 if quick else 1000, 42, 2 if quick else 20))
    add("memory", measures.memory(names, 500 if quick else 10_000))
    add("import", measures.imports(names, 2 if quick else 7))
    add("packages", {name: environments.packages(RECORDERS[name].environment) for name in others})
    return table


def _print(table: Table, failed: dict[str, str], load: float) -> None:
    versions = environments.versions("langchain")
    print(
        f"Python {platform.python_version()}, langchain-core {versions['langchain-core']}, langchain"
        f" {versions['langchain']}, langgraph {versions['langgraph']}, {os.cpu_count()} cores, load {load:.1f}"
    )
    print(f"{'':18}" + "".join(f"{f'{work}, {unit}':>34}" for work, unit in UNITS.items()))
    for name, row in table.items():
        costs = [_cost(row["costs"][work], table["plsync"]["costs"][work]) for work in COUNTS]
        print(f"{name:18}" + "".join(f"{cost:>34}" for cost in costs))
    base_import, base_memory = table["no-op"]["import"], table["no-op"]["memory"]
    heads = ("kill at once", "after 5 s", "clean end", "outage", "memory, MB", "import, ms", "packages, MB")
    print(f"{'':18}" + "".join(f"{head:>16}" for head in heads))
    for name, row in table.items():
        if name == "no-op":
            continue
        before, after, later = row["memory"]
        packages = row["packages"]
        cells = (
            str(row["kill at once"].calls),
            str(row["kill after 5 s"].calls),
            f"{row['clean end'].calls} ({row['clean end'].seconds:.0f} s)",
            str(row["outage"]),
            f"{after - before:+.0f}, {later - before:+.0f}",
            f"{row['import'] - base_import:.0f}",
            f"{len(packages.versions)}, {packages.megabytes:.1f}",
        )
        print(f"{name:18}" + "".join(f"{cell:>16}" for cell in cells))
    bare = ", ".join(f"{work} {table['no-op']['costs'][work].bare:.1f} {unit}" for work, unit in UNITS.items())
    print(f"without a recorder: {bare}; memory {base_memory[0]:.0f} MB, import {base_import:.1f} ms")
    for name, reason in failed.items():
        print(f"{name} was not installed: {reason}")


def _cost(cost: measures.Cost, plsync: measures.Cost) -> str:
    ratio = f" {cost.median / plsync.median:.0f}x" if plsync.median > 0 else ""
    return f"{cost.median:.2f} ({cost.low:.2f} to {cost.high:.2f}){ratio}"


if __name__ == "__main__":
    main()
