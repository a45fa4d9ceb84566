"""The work that release builds are optimised for. ``maturin build --pgo`` runs it with an instrumented build.

Usage: python benches/python/pgo.py [--calls N]

The compiler makes frequent work fast and keeps its code together. Work that does not occur here counts as rare. The
script measures no time, and needs only the dependencies of plsync.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from langchain_core.callbacks import CallbackManager
from langchain_core.language_models import FakeListLLM
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.utils.uuid import uuid7

from common import BIG, SMALL, FixedChat, stand_in
from delivery import STAND_IN, send_with_plsync
from plsync import Journal, PromptLayerCallbackHandler
from plsync._common.native import LakeColumns
from plsync.bundle.export import export_log, export_records
from plsync.bundle.hub import Hub
from plsync.bundle.keys import Keys
from plsync.bundle.medium import bundles_in
from plsync.bundle.receive import opened
from plsync.genai.columns import COLUMNS
from plsync.replay import with_recording
from training_text import answer, question, system_prompt

# Reading, replay and delivery use this many calls, so that recording and storing outweigh them.
FEW = 100


class Failing(FixedChat):
    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Any:
        raise ConnectionError("the provider is not there")


def conversations(random: Random) -> Iterator[list[BaseMessage]]:
    """A short question, a long conversation, one in plain English, and one with a tool call."""
    yield SMALL
    yield BIG
    talk: list[BaseMessage] = [SystemMessage(system_prompt(random))]
    for _ in range(2):
        talk += [HumanMessage(question(random)), AIMessage(answer(random, 400))]
    yield [*talk, HumanMessage(question(random))]
    call = {"name": "search", "args": {"query": question(random)}, "id": "call_1", "type": "tool_call"}
    result = ToolMessage(answer(random, 300), tool_call_id="call_1", name="search")
    yield [HumanMessage(question(random)), AIMessage("", tool_calls=[call]), result]


def record(path: Path, calls: int) -> None:
    """Record calls of every kind, most of them plain and successful, and ingest them."""
    random = Random(1)  # noqa: S311
    handler = PromptLayerCallbackHandler(pl_tags=["training"], journal=path)
    model, failing, text = FixedChat(), Failing(), FakeListLLM(responses=["Paris", "Lyon"])
    for number in range(calls):
        config: Any = {"callbacks": [handler], "tags": ["docs"], "metadata": {"customer": number}}
        for conversation in conversations(random):
            model.invoke(conversation, config)
        text.invoke(question(random), config)
        if number % 10 == 0:
            for _ in model.stream(SMALL, config):
                pass
            with contextlib.suppress(ConnectionError):
                failing.invoke(question(random), config)
    with Journal.open(path) as journal:
        journal.ingest(wait=True)


def agents(path: Path, runs: int) -> None:
    """Record agents that use a tool twice, with the callbacks and the metadata of LangGraph."""
    random = Random(2)  # noqa: S311
    handler = PromptLayerCallbackHandler(pl_tags=["training"], journal=path)
    for _ in range(runs):
        messages: list[BaseMessage] = [HumanMessage(question(random)), AIMessage(answer(random, 400))] * 10
        root: Any = {"run_id": uuid7()}
        handler.on_chain_start(None, {"messages": messages}, **root, tags=[], metadata={}, name="agent")
        for turn in range(6):
            step: Any = {"run_id": uuid7(), "parent_run_id": root["run_id"]}
            node = ("model", "tools")[turn % 2]
            namespace = f"{node}:{uuid7()}"
            metadata = {
                "langgraph_step": turn,
                "langgraph_node": node,
                "langgraph_triggers": (f"branch:to:{node}",),
                "langgraph_path": ("__pregel_pull", node),
                "langgraph_checkpoint_ns": namespace,
            }
            tags = [f"graph:step:{turn}"]
            handler.on_chain_start(None, {"messages": messages}, **step, tags=tags, metadata=metadata, name=node)
            below: Any = {"parent_run_id": step["run_id"], "metadata": {**metadata, "checkpoint_ns": namespace}}
            if node == "model":
                FixedChat().invoke(messages, {"callbacks": CallbackManager([handler], **below)})
            else:
                tool: Any = {"run_id": uuid7(), "tags": ["seq:step:1"], "tool_call_id": "call_1", **below}
                handler.on_tool_start({}, "", inputs={"query": question(random)}, name="search", **tool)
                answered = ToolMessage(answer(random, 300), tool_call_id="call_1", name="search")
                handler.on_tool_end(answered, run_id=tool["run_id"])
                messages = [*messages, answered]
            handler.on_chain_end({"messages": messages[-1:]}, **step)
        handler.on_chain_end({"messages": messages}, **root)
    with Journal.open(path) as journal:
        journal.ingest(wait=True)


def export(path: Path) -> None:
    """Make the rows of a lake, without pyarrow."""
    with Journal.open(path) as journal:
        columns = LakeColumns(list(COLUMNS.values()), journal.id, True)
        for _ in range(10):
            for record in journal.records(runs=True):
                columns.add_record(record.stored_row())
            columns.take()


def carry(path: Path) -> None:
    """Carry records to a hub, and their request ids back."""
    stick, hub = path.parent / "stick", Hub(path.parent / "hub")
    stick.mkdir()
    keys = [Keys(path.parent / f"{name} keys") for name in ("lab", "hub")]
    cards = [key.create(name) for key, name in zip(keys, ("lab", "hub"), strict=True)]
    keys[0].trust(cards[1], "hub")
    keys[1].trust(cards[0], "origin")
    with Journal.open(path) as journal:
        export_records(journal, keys[0], cards[1], stick)
    for name in bundles_in([stick]):
        with opened(name, keys[1], hub.inbox) as bundle:
            origin = hub.import_records(bundle).origin
    with Journal.open(hub.journal(origin)) as journal:
        journal.outbox.ack([(record.seq, 10_000 + record.seq) for record in journal.records()])
        export_log(journal, origin.journal_id, keys[1], cards[0], stick)


def read(path: Path) -> None:
    """Append texts, and run the queries that the commands run."""
    with Journal.open(path) as journal:
        for _ in range(FEW):
            journal.append("4 KB of some text that a program keeps. " * 100)
        journal.flush()
        for _ in range(FEW // 10):
            newest = list(journal.records(limit=50))
            for page in (
                journal.records(limit=50, tag="docs"),
                journal.records(limit=50, state="pending"),
                journal.records(limit=50, text="search"),
            ):
                list(page)
            for one in newest:
                journal.get(one.id)
            journal.stats()
        for one in journal.records():
            one.as_dict()
        journal.check()


def replay(path: Path) -> None:
    """Record calls into a file, and replay them from the file and from a journal."""
    recording = path.parent / "calls.jsonl"
    for model in (
        with_recording(FixedChat(), recording, mode="all"),
        with_recording(FixedChat(), recording, exhausted="repeat"),
        with_recording(FixedChat(), path, exhausted="repeat"),
    ):
        for _ in range(FEW):
            model.invoke(SMALL)
            model.invoke(BIG)


def main() -> None:
    parser = argparse.ArgumentParser(description="The work that release builds are optimised for.")
    parser.add_argument("--calls", type=int, default=4000, help="rounds of calls to record (default: 4000)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        record(Path(directory) / "long", options.calls)
        agents(Path(directory) / "agents", max(1, options.calls // 10))
        path = Path(directory) / "short"
        record(path, FEW)
        read(path)
        export(path)
        export(Path(directory) / "agents")
        carry(Path(directory) / "agents")
        replay(path)
        with stand_in(*STAND_IN) as url:
            send_with_plsync(path, url)


if __name__ == "__main__":
    main()
