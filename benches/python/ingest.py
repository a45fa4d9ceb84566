"""The cost of moving records from the spool into the store, beside py-lmdb that writes the same bytes.

Usage: python benches/python/ingest.py [--records N] [--rounds N]

The records are chat calls of about 3 KB. The real handler records them, with docstrings of the standard library as
conversation. plsync verifies each record of its spool and compresses it. It indexes labels and state, and commits.
py-lmdb writes the same bodies uncompressed, one key each, in transactions of 100. Both sync every commit.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from uuid import uuid4

import lmdb
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.utils.uuid import uuid7

from plsync import PromptLayerCallbackHandler
from plsync._common.native import Store

MODULES = [
    "argparse",
    "asyncio",
    "collections",
    "csv",
    "datetime",
    "decimal",
    "difflib",
    "email",
    "functools",
    "heapq",
    "http",
    "inspect",
    "itertools",
    "json",
    "logging",
]
CLASS = {"id": ["langchain_openai", "chat_models", "base", "ChatOpenAI"]}
METADATA = {"ls_provider": "openai", "ls_model_name": "gpt-4o", "ls_model_type": "chat", "ls_temperature": 0.0}
PARAMS = {"model": "gpt-4o", "model_name": "gpt-4o", "stream": False, "temperature": 0.0, "_type": "openai-chat"}
USAGE: UsageMetadata = {"input_tokens": 400, "output_tokens": 90, "total_tokens": 490}
ANSWER_METADATA = {"model_name": "gpt-4o", "finish_reason": "stop"}


def docstrings() -> list[str]:
    """English prose: the longer docstrings of the standard library."""
    texts = []
    for name in MODULES:
        module = importlib.import_module(name)
        for value in [module, *vars(module).values()]:
            text = getattr(value, "__doc__", None)
            if isinstance(text, str) and len(text) > 300:
                texts.append(" ".join(text.split())[:1200])
    return sorted(set(texts))


def record(path: Path, count: int, texts: list[str]) -> None:
    """Record ``count`` chat calls of about 3 KB with the arguments that LangChain passes."""
    handler = PromptLayerCallbackHandler(pl_tags=["bench"], journal=path)
    for number in range(count):
        run_id = uuid7()
        parts = [texts[(number * 7 + offset * 13) % len(texts)][:360] for offset in range(5)]
        messages: list[BaseMessage] = [
            SystemMessage(parts[0]),
            HumanMessage(parts[1]),
            AIMessage(parts[2]),
            HumanMessage(parts[3]),
        ]
        handler.on_chat_model_start(
            CLASS,
            [messages],
            run_id=run_id,
            tags=["docs"],
            metadata=METADATA,
            invocation_params=PARAMS,
            name="ChatOpenAI",
        )
        answer = AIMessage(parts[4], usage_metadata=USAGE, response_metadata=ANSWER_METADATA)
        handler.on_llm_end(LLMResult(generations=[[ChatGeneration(message=answer)]]), run_id=run_id)


def ingest_us(directory: Path, count: int, texts: list[str]) -> tuple[float, list[bytes], float]:
    """Microseconds per record, the bodies, and the stored share of their size."""
    path = directory / f"journal-{uuid4()}"
    record(path, count, texts)
    store = Store(str(path))
    begin = time.perf_counter()
    store.ingest(wait=True)
    spent = time.perf_counter() - begin
    bodies = []
    before = None
    while page := store.query(limit=1000, before=before):
        bodies += [(row.start or b"") + (row.end or b"") for row in page]
        before = page[-1].id
    stats = store.stats()
    return spent / count * 1e6, bodies, stats["stored_bytes"] / stats["raw_bytes"]


def py_lmdb_us(directory: Path, bodies: list[bytes]) -> float:
    """Microseconds per record for py-lmdb, transactions of 100."""
    environment = lmdb.open(str(directory / f"lmdb-{uuid4()}"), map_size=4 << 30)
    begin = time.perf_counter()
    for first in range(0, len(bodies), 100):
        with environment.begin(write=True) as transaction:
            for number, body in enumerate(bodies[first : first + 100], first):
                transaction.put(number.to_bytes(8, "big"), body, append=True)
    spent = time.perf_counter() - begin
    environment.close()
    return spent / len(bodies) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description="The cost of ingesting.")
    parser.add_argument("--records", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    texts = docstrings()
    ours, peers, shares, size = [], [], [], 0
    with tempfile.TemporaryDirectory() as directory:
        for _ in range(options.rounds):
            spent, bodies, share = ingest_us(Path(directory), options.records, texts)
            ours.append(spent)
            shares.append(share)
            size = sum(map(len, bodies)) // len(bodies)
            peers.append(py_lmdb_us(Path(directory), bodies))
    ratio = statistics.median(mine / peer for mine, peer in zip(ours, peers, strict=True))
    print(
        f"ingest of {options.records} chat records of {size} bytes "
        f"(Python {platform.python_version()}, {os.cpu_count()} cores)"
    )
    print(
        f"plsync, compressed to {statistics.median(shares):.0%} and indexed   "
        f"{statistics.median(ours):6.1f} us per record"
    )
    print(f"py-lmdb, uncompressed, by the hundred     {statistics.median(peers):6.1f} us per record")
    print(f"plsync / py-lmdb                          {ratio:6.2f}")


if __name__ == "__main__":
    main()
