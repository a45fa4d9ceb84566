"""The cost of recording an agent's run as a tree, beside calls alone and beside LangChain's tracer, in one run.

Usage: python benches/python/trees.py [--runs N] [--json]

An agent of LangChain makes three calls and uses a tool twice, after a history of 20 messages. Each peer is a handler of
the same agent. All peers have their turn within every round, in a random order: a peer may leave work to the garbage
collector or to its threads. A figure is the lower quartile over the rounds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

from langchain_core.callbacks.base import BaseCallbackHandler

from agent import TURNS, forecast, question
from common import machine
from handler import RawWrites, langsmith_tracer
from plsync import Journal, PromptLayerCallbackHandler


class CallWrites(RawWrites):
    """The writes of the calls, of as many bytes as plsync writes."""

    ignore_chain = True

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        super().__init__(directory)

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        self.write(14_300)

    def on_llm_end(self, *args: Any, **kwargs: Any) -> None:
        self.write(600)


class TreeWrites(CallWrites):
    """The writes of the calls and of the steps."""

    ignore_chain = False

    def on_chain_start(self, *args: Any, parent_run_id: Any = None, **kwargs: Any) -> None:
        self.write(530 if parent_run_id else 12_400)

    def on_chain_end(self, *args: Any, parent_run_id: Any = None, **kwargs: Any) -> None:
        self.write(120 if parent_run_id else 1_500)

    def on_tool_start(self, *args: Any, **kwargs: Any) -> None:
        self.write(430)

    def on_tool_end(self, *args: Any, **kwargs: Any) -> None:
        self.write(340)


def costs(runs: int, directory: Path) -> tuple[dict[str, float], dict[str, int]]:
    """Milliseconds of one run by peer, and the bytes stored by mode."""
    agent = forecast()
    journals = {mode: directory / mode for mode in ("llm", "tree", "all")}
    peers: dict[str, list[BaseCallbackHandler]] = {
        "no handler": [],
        **{mode: [PromptLayerCallbackHandler(journal=path, runs=mode)] for mode, path in journals.items()},  # type: ignore[arg-type]
        "writes of llm alone": [CallWrites(directory / "call writes")],
        "writes of tree alone": [TreeWrites(directory / "tree writes")],
        "LangChainTracer": [langsmith_tracer()],
    }
    times: dict[str, list[float]] = {name: [] for name in peers}
    order, chance = list(peers.items()), Random(3)  # noqa: S311 - no secret
    for number in range(runs + 5):
        chance.shuffle(order)
        for name, handlers in order:
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
    over = milliseconds["tree"] - milliseconds["llm"]
    floor = milliseconds["writes of tree alone"] - milliseconds["writes of llm alone"]
    tracer = milliseconds["LangChainTracer"] - bare
    print(f"tree over llm: {over:+.2f} ms, {over / bare:.1%} of the bare run, {over / floor:.1f}x the writes alone")
    print(f"LangChainTracer: {tracer / over:.1f}x tree over llm, {tracer / (milliseconds['tree'] - bare):.1f}x tree")
    sizes = [f"{mode} {size:,} ({size / stored['llm']:.2f}x)" for mode, size in stored.items()]
    print(f"bytes stored a run: {', '.join(sizes)}")


if __name__ == "__main__":
    main()
