"""Pages of trees in a journal of a million runs.

Usage: python benches/python/tree_pages.py [--runs N] [--json]

A tree has eight runs: the root, four nodes, two calls and a tool. One root in a thousand waits for a person, and one in
200 has failed. A conversation has four trees, a user 125. Each page opens the journal anew, and reads its trees whole.
A figure is the median of five, in processor time.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from time import perf_counter, process_time
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from common import machine
from plsync import Journal, PromptLayerCallbackHandler

RUNS_OF_TREE = 8
PAGE = 20


class GraphBubbleUp(Exception):
    """Stands for the exception by which LangGraph interrupts a graph."""

    __module__ = "langgraph.errors"


def record_tree(handler: PromptLayerCallbackHandler, number: int) -> None:
    """The callbacks of an agent of two turns."""
    root = uuid4()
    question = HumanMessage(f"How warm is it in city {number}?")
    inherited = {"lc_agent_name": "forecast", "user_id": str(number % 1000), "thread_id": f"thread-{number // 4}"}
    handler.on_chain_start(
        None, {"messages": [question]}, run_id=root, metadata=inherited, tags=[f"team-{number % 3}"], name="forecast"
    )
    for step, name in enumerate(("model", "tools", "model", "answer"), 1):
        node, below = uuid4(), uuid4()
        metadata = {**inherited, "langgraph_step": step, "langgraph_node": name}
        place: dict[str, Any] = {"parent_run_id": node, "metadata": metadata, "tags": []}
        handler.on_chain_start(
            None, {"messages": []}, run_id=node, parent_run_id=root, metadata=metadata, tags=[], name=name
        )
        if name == "model":
            handler.on_chat_model_start({}, [[question]], run_id=below, name="ChatOpenAI", **place)
            answer = ChatGeneration(message=AIMessage("4 degrees"))
            handler.on_llm_end(LLMResult(generations=[[answer]]), run_id=below)
        elif name == "tools":
            handler.on_tool_start({"name": "temperature"}, "", run_id=below, inputs={"city": number}, **place)
            handler.on_tool_end(ToolMessage("4 degrees", tool_call_id="call_1"), run_id=below)
        handler.on_chain_end({}, run_id=node)
    if number % 1000 == 0:
        handler.on_chain_error(GraphBubbleUp(()), run_id=root)
    elif number % 200 == 1:
        handler.on_chain_error(ValueError("no station"), run_id=root)
    else:
        handler.on_chain_end({"messages": [question]}, run_id=root)


def milliseconds(path: Path, read: Callable[[Journal], object]) -> float:
    times = []
    for _ in range(5):
        before = process_time()
        with Journal.open(path) as journal:
            read(journal)
        times.append((process_time() - before) * 1000)
    return statistics.median(times)


def page(**filters: Any) -> Callable[[Journal], object]:
    return lambda journal: list(journal.trees(limit=PAGE, **filters))


PAGES: dict[str, Callable[[Journal], object]] = {
    "the newest trees": page(),
    "the oldest trees": page(oldest_first=True),
    "trees that wait for a person": page(status="interrupted"),
    "trees that failed": page(status="error"),
    "trees of a tag": page(tag="team-1"),
    "trees of a tag that wait": page(tag="team-1", status="interrupted"),
    "trees of a conversation": page(thread="thread-17"),
    "trees that are not sent": page(delivery="waiting"),
    "trees that took longer": page(slower=timedelta(microseconds=100)),
    "trees of a user": page(metadata={"user_id": "77"}),
    "trees with a text": page(text="city 77"),
    "one tree, by the id of a call": lambda journal: journal.tree(next(journal.records(oldest_first=True)).id),
}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Pages of trees in a journal of a million runs.")
    parser.add_argument("--runs", type=int, default=1_000_000, help="runs in the journal (default: 1,000,000)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "journal"
        handler = PromptLayerCallbackHandler(journal=path, runs="tree")
        before = perf_counter()
        for number in range(max(1, options.runs // RUNS_OF_TREE)):
            record_tree(handler, number)
        recorded = perf_counter() - before
        with Journal.open(path) as journal:
            journal.flush()
            stats = journal.stats()
        pages = {name: milliseconds(path, read) for name, read in PAGES.items()}
    runs = stats.records + stats.runs
    if options.json:
        json.dump({"machine": machine(), "runs": runs, "stored": stats.stored_bytes, "pages": pages}, sys.stdout)
        return
    print(
        f"{runs:,} runs, {stats.stored_bytes / runs:.0f} bytes stored a run, {recorded / runs * 1e6:.1f} us to record"
    )
    for name, cost in pages.items():
        print(f"{name:32}{cost:8.1f} ms")


if __name__ == "__main__":
    main()
