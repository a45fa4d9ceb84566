"""What a replayed call costs, beside its peers, in one run.

Usage: python benches/python/replay.py [--calls N] [--json]

The call is a plain invoke. Peers are called in turn within every round, so that noise hits all alike; figures are
medians. A FakeListChatModel answers out of its memory: what replay takes over it is what replay costs. The others
answer the same call of ChatOpenAI: from a recording, from an HTTP cassette (vcrpy) and from LangChain's SQLite cache.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import langchain_core
import vcr
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI

from plsync import Journal, PromptLayerCallbackHandler
from plsync.replay import with_recording
from tests.support.openai_server import OpenAIServer

ROUND = 20
KEPT = 10_000
ANSWER = "The capital of France is Paris. " * 20
SMALL: list[BaseMessage] = [HumanMessage("What is the capital of France?")]
BIG: list[BaseMessage] = [
    SystemMessage("s" * 400),
    *(message for i in range(5) for message in (HumanMessage(f"{i} " + "q" * 700), AIMessage("a" * 820))),
    HumanMessage("And now?"),
]


def medians(works: dict[str, Callable[[], Any]], calls: int) -> dict[str, float]:
    """Median microseconds of each, interleaved."""
    times: dict[str, list[int]] = {name: [] for name in works}
    for work in works.values():
        for _ in range(ROUND):
            work()
    for _ in range(max(1, calls // ROUND)):
        for name, work in works.items():
            for _ in range(ROUND):
                begin = time.perf_counter_ns()
                work()
                times[name].append(time.perf_counter_ns() - begin)
    return {name: statistics.median(samples) / 1000 for name, samples in times.items()}


def over_a_fake(directory: Path, calls: int) -> dict[str, dict[str, float]]:
    """Replayed and bare, microseconds."""
    table = {}
    for name, messages in {"1 message": SMALL, "12 messages, 8 KB": BIG}.items():
        fake = FakeListChatModel(responses=[ANSWER])
        path = directory / f"{len(messages)}.jsonl"
        with_recording(fake, path, mode="all").invoke(messages)
        replay = with_recording(fake, path, exhausted="repeat")
        works = {"bare": fake, "replayed": replay}
        table[name] = medians({key: lambda m=m, x=messages: m.invoke(x) for key, m in works.items()}, calls)
    return table


def beside_others(directory: Path, calls: int) -> dict[str, float]:
    """The same call of ChatOpenAI from a recording, a cassette and a cache, microseconds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from langchain_community.cache import SQLiteCache  # noqa: PLC0415 - it warns that it is archived

    recorder = vcr.VCR(match_on=["method", "path", "body"], record_mode="once")
    path, tape = directory / "openai.jsonl", str(directory / "openai.yaml")
    with OpenAIServer(ANSWER) as server:
        model = ChatOpenAI(model="gpt-4o-mini", base_url=server.url, api_key="none", max_retries=0)
        cached = ChatOpenAI(
            model="gpt-4o-mini",
            base_url=server.url,
            api_key="none",
            cache=SQLiteCache(database_path=str(directory / "cache.db")),
        )
        with_recording(model, path, mode="all").invoke(BIG)
        with recorder.use_cassette(tape):
            model.invoke(BIG)
        cached.invoke(BIG)
    replay = with_recording(model, path, exhausted="repeat")
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        found = medians({"plsync": lambda: replay.invoke(BIG), "SQLiteCache": lambda: cached.invoke(BIG)}, calls)
        stack.enter_context(recorder.use_cassette(tape, record_mode="none", allow_playback_repeats=True))
        # Only within the cassette: it patches the client of every other call as well.
        found |= medians({"vcrpy": lambda: model.invoke(BIG)}, max(ROUND, calls // 10))
    return found


def question(number: int) -> list[BaseMessage]:
    return [
        SystemMessage("You are a helpful assistant. " * 10),
        HumanMessage(f"Question {number}: " + "and so on " * 80),
    ]


OPEN = """
import sys, time
from langchain_core.language_models import FakeListChatModel
from plsync.replay import with_recording
sys.path.insert(0, sys.argv[1])
from replay import question
model = FakeListChatModel(responses=["no"])
with_recording(model, sys.argv[2]).invoke(question(1))
for number in map(int, sys.argv[4:]):
    begin = time.perf_counter()
    with_recording(model, sys.argv[3]).invoke(question(number))
    print((time.perf_counter() - begin) * 1000)
"""


def opened(directory: Path, rounds: int) -> dict[str, float]:
    """Milliseconds to open what holds 10,000 calls and serve one of them, in a process that has loaded everything."""
    path, journal = directory / "many.jsonl", directory / "journal"
    fake = FakeListChatModel(responses=[ANSWER])
    recorder = with_recording(fake, path, mode="all")
    handler = PromptLayerCallbackHandler(journal=journal)
    for number in range(KEPT):
        recorder.invoke(question(number))
        fake.invoke(question(number), {"callbacks": [handler]})
    with Journal.open(journal) as taken_in:
        taken_in.flush()
    small = directory / "small.jsonl"
    with_recording(fake, small, mode="all").invoke(question(1))
    places = {"first": 0, "in the middle": KEPT // 2, "last": KEPT - 1}
    found: dict[str, list[float]] = {}
    for _ in range(rounds):
        for kind, source in (("recording", path), ("journal", journal)):
            for place, number in places.items():
                command = [sys.executable, "-c", OPEN, str(Path(__file__).parent), str(small), str(source)]
                times = _milliseconds([*command, str(number), str(number)], directory)
                found.setdefault(f"{kind}, {place}", []).append(times[0])
                if kind == "journal":
                    found.setdefault(f"{kind}, {place}, again", []).append(times[1])
    return {name: statistics.median(times) for name, times in found.items()}


def _milliseconds(command: list[str], directory: Path) -> list[float]:
    environment = {**os.environ, "XDG_CACHE_HOME": tempfile.mkdtemp(dir=directory)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [float(line) for line in done.stdout.split()]


class Slow(BaseChatModel):
    """Takes 20 ms to its first chunk."""

    @property
    def _llm_type(self) -> str:
        return "slow"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("word"))])

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for number in range(100):
            time.sleep(0.02 if number == 0 else 0)
            yield ChatGenerationChunk(message=AIMessageChunk(content="word "))


def streamed(directory: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds to the first token and microseconds for each of the others, bare and while recorded."""
    models = {"bare": Slow(), "recorded": with_recording(Slow(), directory / "slow.jsonl", mode="all")}
    first: dict[str, list[float]] = {name: [] for name in models}
    others: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            begin = time.perf_counter()
            stream = model.stream(BIG)
            next(stream)
            seen = time.perf_counter()
            count = sum(1 for _ in stream)
            first[name].append((seen - begin) * 1e3)
            others[name].append((time.perf_counter() - seen) * 1e6 / count)
    return {
        "first token, ms": {name: statistics.median(times) for name, times in first.items()},
        "each of the others, µs": {name: statistics.median(times) for name, times in others.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="What a replayed call costs.")
    parser.add_argument("--calls", type=int, default=2000, help="calls for each peer (default: 2000)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    rounds = max(3, options.calls // 200)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        table: dict[str, Any] = {
            "invoke": over_a_fake(directory, options.calls),
            "ChatOpenAI": beside_others(directory, options.calls),
            "opened": opened(directory, min(rounds, 7)),
            "streamed": streamed(directory, rounds * 2),
        }
    machine = f"Python {platform.python_version()}, langchain-core {langchain_core.__version__}, {os.cpu_count()} cores"
    if options.json:
        json.dump({"machine": machine, **table}, sys.stdout, indent=2)
        return
    print(f"replay, medians ({machine})\n")
    print("microseconds of an invoke, over the same call to FakeListChatModel")
    for row, found in table["invoke"].items():
        print(f"  {row:24}{found['replayed'] - found['bare']:8.1f}   ({found['replayed']:.1f} of {found['bare']:.1f})")
    ours = table["ChatOpenAI"]["plsync"]
    print("microseconds of the same call of ChatOpenAI, 12 messages")
    for row, cost in table["ChatOpenAI"].items():
        print(f"  {row:24}{cost:8.1f}   ({cost / ours:.1f}x)")
    print(f"milliseconds to open {KEPT:,} calls and serve one")
    for row, cost in table["opened"].items():
        print(f"  {row:24}{cost:8.1f}")
    print("a stream while it is recorded")
    for row, found in table["streamed"].items():
        print(f"  {row:24}{found['recorded']:8.2f}   (bare {found['bare']:.2f})")


if __name__ == "__main__":
    main()
