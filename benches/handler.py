"""What recording costs a LangChain call, beside its peers, in one run.

Usage: python benches/handler.py [--calls N] [--json]

Each peer is a callback handler on the same model, called in turn within every round, so that noise hits all alike.
A figure is the median over the rounds of the median call with this peer, minus that with a handler that does nothing in
the same round. Streaming is per token. What a call with the latter takes says how fast the machine was meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import UUID

import langchain_core
import orjson
from langchain_core.callbacks.base import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, LLMResult

from plsync import PromptLayerCallbackHandler

TOKENS = 100
ROUND = 50

SMALL: list[BaseMessage] = [HumanMessage("What is the capital of France?")]
BIG: list[BaseMessage] = [
    SystemMessage("s" * 400),
    *(message for i in range(5) for message in (HumanMessage(f"{i} " + "q" * 700), AIMessage("a" * 820))),
]


class FixedChat(BaseChatModel):
    """Answers at once, so that what is measured is the framework and the handler."""

    @property
    def _llm_type(self) -> str:
        return "fixed"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        usage = {"input_tokens": 7, "output_tokens": 1, "total_tokens": 8}
        answer = AIMessage("Paris", usage_metadata=usage, response_metadata={"model_name": "fixed"})
        return ChatResult(generations=[ChatGeneration(message=answer)])

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for _ in range(TOKENS):
            yield ChatGenerationChunk(message=AIMessageChunk(content="token "))


class Noop(BaseCallbackHandler):
    """The framework's own price for a handler."""

    run_inline = True

    def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
        pass

    def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
        pass

    def on_llm_end(self, response: Any, **kwargs: Any) -> None:
        pass


class Writes(Noop):
    """Nothing but two writes a call of as many bytes as plsync's, into a file made ready as its segments are."""

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

    def write(self, size: int, full: bytes = b"x" * 10_128) -> None:
        if self.at + size > self.ROOM:
            self.at = 0
        self.at += os.pwrite(self.file, full[:size], self.at)


class Written(BaseCallbackHandler):
    """The same events made in Python; ``keep`` is how they are stored."""

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
        self.keep(
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
        self.keep(
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

    def keep(self, run_id: UUID, event: dict[str, Any]) -> None:
        raise NotImplementedError


def _fields(value: Any) -> Any:
    return str(value) if isinstance(value, str) else {"$": type(value).__name__, "v": value.__dict__}


class Orjson(Written):
    """orjson and one write a event to an ordinary file."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.file = os.open(directory / "events.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def keep(self, run_id: UUID, event: dict[str, Any]) -> None:
        os.write(self.file, orjson.dumps(event, default=_fields, option=orjson.OPT_PASSTHROUGH_SUBCLASS) + b"\n")


class Sqlite(Written):
    """SQLite in WAL mode with the standard library's json, as recorders are usually made at home.

    Its own default, ``full``, syncs every commit; ``normal`` leaves that to the checkpoints.
    """

    def __init__(self, directory: Path, synchronous: str) -> None:
        super().__init__()
        self.database = sqlite3.connect(directory / f"{synchronous}.db", isolation_level=None)
        self.database.execute("pragma journal_mode=wal")
        self.database.execute(f"pragma synchronous={synchronous}")
        self.database.execute("create table events (run_id text, event text)")

    def keep(self, run_id: UUID, event: dict[str, Any]) -> None:
        self.database.execute("insert into events values (?, ?)", (str(run_id), json.dumps(event, default=_fields)))


def langsmith_tracer() -> BaseCallbackHandler:
    """LangChain's own tracer with a client that sends nothing."""
    from langchain_core.tracers import LangChainTracer  # noqa: PLC0415

    return LangChainTracer(client=mock.MagicMock(tracing_queue=None))


def measure(
    work: Callable[[BaseCallbackHandler], Any], peers: dict[str, BaseCallbackHandler], calls: int
) -> dict[str, float]:
    """Median microseconds of ``work`` with the first peer, and what each other costs over it.

    Differences are taken within a round, so that a machine whose speed drifts tells the same.
    """
    baseline = next(iter(peers))
    rounds: dict[str, list[float]] = {name: [] for name in peers}
    for handler in peers.values():
        for _ in range(ROUND):
            work(handler)
    for _ in range(max(1, calls // ROUND)):
        medians = {name: _median(work, handler) for name, handler in peers.items()}
        for name, median in medians.items():
            rounds[name].append(median - (medians[baseline] if name != baseline else 0.0))
    return {name: statistics.median(differences) for name, differences in rounds.items()}


def _median(work: Callable[[BaseCallbackHandler], Any], handler: BaseCallbackHandler) -> float:
    samples = []
    for _ in range(ROUND):
        begin = time.perf_counter_ns()
        work(handler)
        samples.append(time.perf_counter_ns() - begin)
    return statistics.median(samples) / 1000


def rows(calls: int, directory: Path) -> dict[str, dict[str, float]]:
    """Microseconds over the no-op handler, by situation and peer."""
    model = FixedChat()
    works: dict[str, tuple[Callable[[BaseCallbackHandler], Any], int, int]] = {
        "1 message": (lambda handler: model.invoke(SMALL, {"callbacks": [handler]}), calls, 1),
        "11 messages, 8 KB": (lambda handler: model.invoke(BIG, {"callbacks": [handler]}), calls, 1),
        "a streamed token": (
            lambda handler: [None for _ in model.stream(SMALL, {"callbacks": [handler]})],
            calls // 10,
            TOKENS,
        ),
    }
    peers: dict[str, BaseCallbackHandler] = {
        "no-op": Noop(),
        "plsync": PromptLayerCallbackHandler(journal=directory / "journal"),
        "those writes alone": Writes(directory),
        "orjson + os.write": Orjson(directory),
        "SQLite WAL + json": Sqlite(directory, "full"),
        "the same, normal sync": Sqlite(directory, "normal"),
        "LangChainTracer": langsmith_tracer(),
    }
    table = {}
    for name, (work, count, parts) in works.items():
        table[name] = {peer: cost / parts for peer, cost in measure(work, peers, count).items()}
    return table


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="What recording costs a LangChain call.")
    parser.add_argument("--calls", type=int, default=2000, help="calls for each peer and situation (default: 2000)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as directory:
        table = rows(options.calls, Path(directory))
    machine = f"Python {platform.python_version()}, langchain-core {langchain_core.__version__}, {os.cpu_count()} cores"
    if options.json:
        json.dump({"machine": machine, "microseconds": table}, sys.stdout, indent=2)
        return
    print(f"microseconds over a handler that does nothing ({machine})")
    peers = "".join(f"{peer:>26}" for peer in list(next(iter(table.values())))[1:])
    print(f"{'':20}{peers}{'(no-op itself)':>20}{'plsync, of that':>18}")
    for name, (baseline, *costs) in ((name, row.values()) for name, row in table.items()):
        cells = (f"{cost:.2f} ({cost / costs[0]:.1f}x)" for cost in costs)
        print(f"{name:20}" + "".join(f"{cell:>26}" for cell in cells) + f"{baseline:20.1f}{costs[0] / baseline:18.1%}")


if __name__ == "__main__":
    main()
