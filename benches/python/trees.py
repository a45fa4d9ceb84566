"""The cost of recording an agent's run as a tree, beside calls alone and beside LangChain's tracer, in one run.

Usage: python benches/python/trees.py [--runs N] [--json]

An agent of LangChain makes three calls and uses a tool twice, after a history of 20 messages. Each peer is a handler of
the same agent, and all peers have their turn within every round. A figure is the lower quartile over the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from langchain_core.callbacks.base import BaseCallbackHandler

from agent import TURNS, forecast, question
from common import machine
from handler import langsmith_tracer
from plsync import Journal, PromptLayerCallbackHandler


def costs(runs: int, directory: Path) -> tuple[dict[str, float], dict[str, int]]:
    """Milliseconds of one run by peer, and the bytes stored by mode."""
    agent = forecast()
    journals = {mode: directory / mode for mode in ("llm", "tree", "all")}
    peers: dict[str, list[BaseCallbackHandler]] = {
        "no handler": [],
        **{mode: [PromptLayerCallbackHandler(journal=path, runs=mode)] for mode, path in journals.items()},  # type: ignore[arg-type]
        "LangChainTracer": [langsmith_tracer()],
    }
    times: dict[str, list[float]] = {name: [] for name in peers}
    for number in range(runs + 5):
        for name, handlers in peers.items():
            request = question()
            before = perf_counter()
            agent.invoke(request, {"callbacks": handlers})
            if number >= 5:
                times[name].append((perf_counter() - before) * 1000)
    stored = {}
    for mode, path in journals.items():
        with Journal.open(path) as journal:
            journal.flush()
            stored[mode] = journal.stats().stored_bytes // (runs + 5)
    return {name: statistics.quantiles(values, n=4)[0] for name, values in times.items()}, stored


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The cost of recording an agent's run as a tree.")
    parser.add_argument("--runs", type=int, default=150, help="runs of each peer (default: 150)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        milliseconds, stored = costs(options.runs, Path(directory))
    if options.json:
        json.dump({"machine": machine(), "milliseconds": milliseconds, "stored": stored}, sys.stdout, indent=2)
        return
    bare = milliseconds["no handler"]
    print(f"an agent of {TURNS} turns and 20 messages, milliseconds ({machine()})")
    for name, cost in milliseconds.items():
        print(f"{name:20}{cost:8.2f}{cost - bare:+8.2f}{(cost - bare) / bare:9.1%}")
    sizes = [f"{mode} {size:,} ({size / stored['llm']:.2f}x)" for mode, size in stored.items()]
    print(f"bytes stored a run: {', '.join(sizes)}")


if __name__ == "__main__":
    main()
