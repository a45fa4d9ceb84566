"""Counts, charts, sums and pages of a journal of a million calls, and the cost of its digests.

Usage: python benches/python/digests.py [--records N] [--journal DIR]

The real handler records the calls: eight models, three tags, a thread for each ten calls, errors, and tokens. Each
figure is the median of five calls in one process, of processor time. ``--journal`` names the directory of the
journal. A journal that is there is used.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import uuid4

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, LLMResult

from plsync import Journal, PromptLayerCallbackHandler

CLASS = {"id": ["langchain_openai", "chat_models", "base", "ChatOpenAI"]}
ROUNDS = 5
WORDS = ("the", "model", "answered", "once", "a", "cassette", "which", "replayed", "its", "other", "side")


def record(path: Path, count: int) -> None:
    """Record ``count`` calls of about 1 KB, and move them into the store."""
    handler = PromptLayerCallbackHandler(pl_tags=["bench"], journal=path)
    with Journal.open(path, create=True) as journal:
        for number in range(count):
            run_id = uuid4()
            model = f"model-{number % 8}"
            metadata = {"ls_provider": "openai", "ls_model_name": model, "thread_id": f"thread-{number // 10}"}
            text = " ".join(WORDS[(number * 7 + at) % len(WORDS)] for at in range(30))
            handler.on_chat_model_start(
                CLASS,
                [[HumanMessage(text)]],
                run_id=run_id,
                tags=["even" if number % 2 == 0 else "odd"],
                metadata=metadata,
                invocation_params={"model": model, "temperature": 0.0},
                name="ChatOpenAI",
            )
            if number % 30 == 7:
                handler.on_llm_error(ValueError("429 too many requests"), run_id=run_id)
            else:
                usage: UsageMetadata = {"input_tokens": 40 + number % 400, "output_tokens": 9, "total_tokens": 49}
                answer = ChatGeneration(message=AIMessage(text, usage_metadata=usage))
                handler.on_llm_end(LLMResult(generations=[[answer]]), run_id=run_id)
            if number % 50_000 == 49_999:
                journal.ingest(wait=True)
        journal.ingest(wait=True)


def median_ms(work: Callable[[], Any]) -> float:
    """The median of a few calls, in ms of processor time."""
    spent = []
    for _ in range(ROUNDS):
        begin = time.process_time()
        work()
        spent.append((time.process_time() - begin) * 1000)
    return statistics.median(spent)


def measure(journal: Journal) -> None:
    """Print each figure."""
    middle = datetime.now(timezone.utc) - timedelta(seconds=10)
    works: dict[str, Callable[[], Any]] = {
        "a page of 50, newest": journal.page,
        "a page of 50, by tag, model and result": lambda: journal.page(tag="even", model="model-2", result="error"),
        "a page of 50, by thread": lambda: journal.page(thread="thread-77"),
        "a page of 50, slowest": lambda: journal.page(order="took"),
        "a page of 50, most tokens of a model": lambda: journal.page(order="tokens", model="model-2"),
        "a page of 50, frequent word": lambda: journal.page(text="cassette"),
        "a slice of 200 ms, absent word": lambda: journal.page(text="xyzzy", budget_ms=200),
        "count, two labels and a result": lambda: journal.count(tag="even", model="model-2", result="error"),
        "count, by state": lambda: journal.count(delivery="waiting", tag="even"),
        "facets of all": journal.facets,
        "facets of a tag": lambda: journal.facets(tag="even"),
        "histogram of all": journal.histogram,
        "histogram of a model since": lambda: journal.histogram(model="model-2", since=middle),
        "tags, with counts": lambda: journal.label_values("tag"),
        "threads, with counts": lambda: journal.label_values("thread"),
        "usage by model": journal.usage,
        "usage by day": lambda: journal.usage("day"),
        "usage by hour": lambda: journal.usage("hour"),
        "usage by tag": lambda: journal.usage("tag"),
        "usage by thread": lambda: journal.usage("thread"),
        "usage of a tag": lambda: journal.usage(tag="even"),
    }
    for name, work in works.items():
        print(f"{name:<44} {median_ms(work):>9.1f} ms", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="A journal of a million calls, and its digests.")
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--journal", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        path = options.journal or Path(directory) / "journal"
        if not path.exists():
            record(path, options.records)
        with Journal.open(path) as journal:
            stats = journal.stats()
            print(f"{stats.records:,} records, {stats.lmdb_bytes / 1e6:,.0f} MB (Python {platform.python_version()})")
            print(f"records without a digest: {journal.digests.pending():,}")
            measure(journal)


if __name__ == "__main__":
    main()
