"""The cost of recording for a LangChain call, beside other recorders, in one run.

Usage: python benches/python/handler.py [--calls N] [--json]

Each peer is a callback handler on the same model. All peers have their turn within every round, so that noise hits all
of them alike. A figure is a difference within a round: the median call with the peer, minus the median call with a
handler that does nothing. The table has the median over the rounds. A streamed call is divided by its tokens.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import UUID

import orjson
from langchain_core.callbacks.base import BaseCallbackHandler
from langchain_core.messages import BaseMessage
from langchain_core.outputs import LLMResult
from pydantic import Field, create_model

from common import BIG, SMALL, TOKENS, FixedChat, machine, round_medians
from plsync import PromptLayerCallbackHandler

ROUND = 50


class Noop(BaseCallbackHandler):
    """Does nothing: its cost is the framework's."""

    run_inline = True

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        pass

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        pass

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        pass


class RawWrites(Noop):
    """Two writes a call, of as many bytes as plsync writes, into a file that was filled and synced before."""

    ROOM = 16 << 20

    def __init__(self, directory: Path) -> None:
        self.file = os.open(directory / "writes", os.O_RDWR | os.O_CREAT, 0o600)
        for offset in range(0, self.ROOM, 1 << 16):
            os.pwrite(self.file, bytes(1 << 16), offset)
        os.fdatasync(self.file)
        self.at = 0

    def on_chat_model_start(self, serialized: Any, messages: list[list[BaseMessage]], **kwargs: Any) -> None:
        self.write(10_128 if len(messages[0]) > 1 else 640)

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        self.write(600)

    def write(self, size: int, full: bytes = b"x" * 14_300) -> None:
        if self.at + size > self.ROOM:
            self.at = 0
        self.at += os.pwrite(self.file, full[:size], self.at)


class PythonRecorder(BaseCallbackHandler):
    """Builds the events of plsync in Python. A subclass stores them in ``store``."""

    run_inline = True

    def __init__(self) -> None:
        self.open: dict[UUID, tuple[int, list[int]]] = {}

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[BaseMessage]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.open[run_id] = (time.monotonic_ns(), [])
        self.store(
            run_id,
            {
                "v": 1,
                "kind": "chat",
                "t": time.time_ns(),
                "run_id": str(run_id),
                "parent_run_id": parent_run_id and str(parent_run_id),
                "class": serialized.get("id"),
                "name": kwargs.get("name"),
                "messages": messages[0],
                "params": kwargs.get("invocation_params"),
                "options": kwargs.get("options"),
                "tags": tags,
                "pl_tags": [],
                "metadata": metadata,
            },
        )

    def on_llm_new_token(self, token: Any, *, run_id: UUID, **kwargs: Any) -> None:
        self.open[run_id][1].append(time.monotonic_ns())

    def on_llm_end(self, response: LLMResult, *, run_id: UUID, **kwargs: Any) -> None:
        started, tokens = self.open.pop(run_id)
        self.store(
            run_id,
            {
                "v": 1,
                "t": time.time_ns(),
                "elapsed": time.monotonic_ns() - started,
                "generations": response.generations[0],
                "llm_output": response.llm_output,
                "error": None,
                "first_token": tokens[0] - started if tokens else None,
                "chunks": [(token - started) // 1000 for token in tokens] or None,
            },
        )

    def store(self, run_id: UUID, event: dict[str, Any]) -> None:
        raise NotImplementedError


SCHEMA = create_model("Invoice", **{f"field_{i}": (str, Field(description="d" * 100)) for i in range(18)})  # type: ignore[call-overload]
"""A class of a structured answer. Its JSON schema has 3 KB."""


def _fields(value: Any) -> Any:
    if isinstance(value, type):
        return _schema(value)
    return str(value) if isinstance(value, str) else {"$": type(value).__name__, "v": value.__dict__}


@functools.cache
def _schema(value: Any) -> Any:
    return value.model_json_schema()


class Orjson(PythonRecorder):
    """Encodes with orjson and appends each event to an ordinary file, one write an event."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.file = os.open(directory / "events.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def store(self, run_id: UUID, event: dict[str, Any]) -> None:
        os.write(self.file, orjson.dumps(event, default=_fields, option=orjson.OPT_PASSTHROUGH_SUBCLASS) + b"\n")


class Sqlite(PythonRecorder):
    """Encodes with the standard library's json and inserts each event into SQLite in WAL mode.

    ``full``, SQLite's default, syncs every commit. ``normal`` syncs at checkpoints.
    """

    def __init__(self, directory: Path, synchronous: str) -> None:
        super().__init__()
        self.database = sqlite3.connect(directory / f"{synchronous}.db", isolation_level=None)
        self.database.execute("pragma journal_mode=wal")
        self.database.execute(f"pragma synchronous={synchronous}")
        self.database.execute("create table events (run_id text, event text)")

    def store(self, run_id: UUID, event: dict[str, Any]) -> None:
        self.database.execute("insert into events values (?, ?)", (str(run_id), json.dumps(event, default=_fields)))


def langsmith_tracer() -> BaseCallbackHandler:
    """LangChain's tracer with a client that sends nothing."""
    from langchain_core.tracers import LangChainTracer  # noqa: PLC0415

    return LangChainTracer(client=mock.MagicMock(tracing_queue=None))


Work = Callable[[BaseCallbackHandler], object]


def measure(work: Work, peers: dict[str, BaseCallbackHandler], calls: int) -> dict[str, float]:
    """Median microseconds of ``work`` with the first peer, and the extra microseconds with each other peer.

    A difference is taken within a round, so that a drift of the machine's speed does not change it.
    """
    baseline = next(iter(peers))
    rounds = round_medians({name: partial(work, handler) for name, handler in peers.items()}, calls, ROUND)
    return {
        name: statistics.median(times[name] - (times[baseline] if name != baseline else 0.0) for times in rounds)
        for name in peers
    }


def rows(calls: int, directory: Path) -> dict[str, dict[str, float]]:
    """Microseconds by situation and peer. The no-op handler has its time, each other peer the difference to it."""
    model = FixedChat()

    def invoke(messages: list[BaseMessage], **options: Any) -> Work:
        return lambda handler: model.invoke(messages, {"callbacks": [handler]}, **options)

    def stream(handler: BaseCallbackHandler) -> None:
        for _ in model.stream(SMALL, {"callbacks": [handler]}):
            pass

    works: dict[str, tuple[Work, int, int]] = {
        "1 message": (invoke(SMALL), calls, 1),
        "11 messages, 8 KB": (invoke(BIG), calls, 1),
        "1 message, schema": (invoke(SMALL, response_format=SCHEMA), calls, 1),
        "a streamed token": (stream, calls // 10, TOKENS),
    }
    peers: dict[str, BaseCallbackHandler] = {
        "no-op": Noop(),
        "plsync": PromptLayerCallbackHandler(journal=directory / "journal"),
        "those writes alone": RawWrites(directory),
        "orjson + os.write": Orjson(directory),
        "SQLite WAL + json": Sqlite(directory, "full"),
        "SQLite, normal sync": Sqlite(directory, "normal"),
        "LangChainTracer": langsmith_tracer(),
    }
    table = {}
    for name, (work, count, parts) in works.items():
        table[name] = {peer: cost / parts for peer, cost in measure(work, peers, count).items()}
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="The cost of recording for a LangChain call.")
    parser.add_argument("--calls", type=int, default=2000, help="calls for each peer and situation (default: 2000)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        table = rows(options.calls, Path(directory))
    if options.json:
        json.dump({"machine": machine(), "microseconds": table}, sys.stdout, indent=2)
        return
    print(f"microseconds over a handler that does nothing ({machine()})")
    peers = "".join(f"{peer:>26}" for peer in list(next(iter(table.values())))[1:])
    print(f"{'':20}{peers}{'(no-op itself)':>20}{'plsync, of that':>18}")
    for name, (baseline, *costs) in ((name, row.values()) for name, row in table.items()):
        cells = (f"{cost:.2f} ({cost / costs[0]:.1f}x)" for cost in costs)
        print(f"{name:20}" + "".join(f"{cell:>26}" for cell in cells) + f"{baseline:20.1f}{costs[0] / baseline:18.1%}")


if __name__ == "__main__":
    main()
