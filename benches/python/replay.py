"""The cost of a replayed call, beside other recorders, in one run.

Usage: python benches/python/replay.py [--calls N] [--json]

The call is a plain invoke. All peers have their turn within every round, so that noise hits all of them alike. Figures
are medians. FakeListChatModel answers from memory, so the difference to it is the cost of replay. The other peers
answer the same call of ChatOpenAI: a recording, an HTTP cassette (vcrpy) and LangChain's SQLite cache.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import vcr
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

import common
from common import SMALL, FixedChat, machine, round_medians
from openai_server import openai_server
from plsync import Journal, PromptLayerCallbackHandler
from plsync.replay import with_recording

ROUND = 20
STORED = 10_000
ANSWER = "The capital of France is Paris. " * 20
BIG: list[BaseMessage] = [*common.BIG, HumanMessage("And now?")]


def medians(works: Mapping[str, Callable[[], Any]], calls: int) -> dict[str, float]:
    """Median microseconds of a call of each work."""
    rounds = round_medians(works, calls, ROUND)
    return {name: statistics.median(times[name] for times in rounds) for name in works}


def beside_a_fake(directory: Path, calls: int) -> dict[str, dict[str, float]]:
    """Microseconds of a call of FakeListChatModel, replayed and bare."""
    table = {}
    for name, messages in {"1 message": SMALL, "12 messages, 8 KB": BIG}.items():
        fake = FakeListChatModel(responses=[ANSWER])
        path = directory / f"{len(messages)}.jsonl"
        with_recording(fake, path, mode="all").invoke(messages)
        replay = with_recording(fake, path, exhausted="repeat")
        table[name] = medians(
            {"bare": partial(fake.invoke, messages), "replayed": partial(replay.invoke, messages)}, calls
        )
    return table


def beside_peers(directory: Path, calls: int) -> dict[str, float]:
    """Microseconds of the same call of ChatOpenAI, from a recording, a cassette and a cache."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from langchain_community.cache import SQLiteCache  # noqa: PLC0415 - warns that its package is archived

    recorder = vcr.VCR(match_on=["method", "path", "body"], record_mode="once")
    path, tape = directory / "openai.jsonl", str(directory / "openai.yaml")
    with openai_server(ANSWER) as url:
        key = SecretStr("none")
        model = ChatOpenAI(model="gpt-4o-mini", base_url=url, api_key=key, max_retries=0)
        cached = ChatOpenAI(
            model="gpt-4o-mini",
            base_url=url,
            api_key=key,
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
        works = {"plsync": partial(replay.invoke, BIG), "SQLiteCache": partial(cached.invoke, BIG)}
        table = medians(works, calls)
        stack.enter_context(recorder.use_cassette(tape, record_mode="none", allow_playback_repeats=True))
        # A cassette patches the HTTP client of the other peers as well, so it has rounds without them.
        table |= medians({"vcrpy": partial(model.invoke, BIG)}, max(ROUND, calls // 10))
    return table


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


def opening(directory: Path, rounds: int) -> dict[str, float]:
    """Milliseconds to open a store of 10,000 calls and replay one, in a process that has loaded all modules."""
    path, journal = directory / "many.jsonl", directory / "journal"
    fake = FakeListChatModel(responses=[ANSWER])
    recorder = with_recording(fake, path, mode="all")
    handler = PromptLayerCallbackHandler(journal=journal)
    for number in range(STORED):
        recorder.invoke(question(number))
        fake.invoke(question(number), {"callbacks": [handler]})
    with Journal.open(journal) as store:
        store.flush()
    small = directory / "small.jsonl"
    with_recording(fake, small, mode="all").invoke(question(1))
    positions = {"first": 0, "in the middle": STORED // 2, "last": STORED - 1}
    samples: dict[str, list[float]] = {}
    for _ in range(rounds):
        for kind, source in (("recording", path), ("journal", journal)):
            for position, number in positions.items():
                command = [sys.executable, "-c", OPEN, str(Path(__file__).parent), str(small), str(source)]
                times = _milliseconds([*command, str(number), str(number)], directory)
                samples.setdefault(f"{kind}, {position}", []).append(times[0])
                if kind == "journal":
                    samples.setdefault(f"{kind}, {position}, again", []).append(times[1])
    return {name: statistics.median(times) for name, times in samples.items()}


def _milliseconds(command: list[str], directory: Path) -> list[float]:
    environment = {**os.environ, "XDG_CACHE_HOME": tempfile.mkdtemp(dir=directory)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return [float(line) for line in done.stdout.split()]


class Slow(FixedChat):
    """Streams its first chunk after 20 ms."""

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=AIMessage("word"))])

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for number in range(100):
            time.sleep(0.02 if number == 0 else 0)
            yield ChatGenerationChunk(message=AIMessageChunk(content="word "))


def streamed(directory: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds to the first token, and microseconds a further token, bare and during a recording."""
    models = {"bare": Slow(), "recorded": with_recording(Slow(), directory / "slow.jsonl", mode="all")}
    first: dict[str, list[float]] = {name: [] for name in models}
    further: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds):
        for name, model in models.items():
            begin = time.perf_counter()
            stream = model.stream(BIG)
            next(stream)
            first_token = time.perf_counter()
            count = sum(1 for _ in stream)
            first[name].append((first_token - begin) * 1e3)
            further[name].append((time.perf_counter() - first_token) * 1e6 / count)
    return {
        "first token, ms": {name: statistics.median(times) for name, times in first.items()},
        "a further token, µs": {name: statistics.median(times) for name, times in further.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="The cost of a replayed call.")
    parser.add_argument("--calls", type=int, default=2000, help="calls for each peer (default: 2000)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    rounds = max(3, options.calls // 200)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        table: dict[str, Any] = {
            "invoke": beside_a_fake(directory, options.calls),
            "ChatOpenAI": beside_peers(directory, options.calls),
            "opening": opening(directory, min(rounds, 7)),
            "streamed": streamed(directory, rounds * 2),
        }
    if options.json:
        json.dump({"machine": machine(), **table}, sys.stdout, indent=2)
        return
    print(f"replay, medians ({machine()})\n")
    print("microseconds of an invoke, over the same call to FakeListChatModel")
    for row, cost in table["invoke"].items():
        print(f"  {row:24}{cost['replayed'] - cost['bare']:8.1f}   ({cost['replayed']:.1f} of {cost['bare']:.1f})")
    ours = table["ChatOpenAI"]["plsync"]
    print("microseconds of the same call of ChatOpenAI, 12 messages")
    for row, cost in table["ChatOpenAI"].items():
        print(f"  {row:24}{cost:8.1f}   ({cost / ours:.1f}x)")
    print(f"milliseconds to open {STORED:,} calls and replay one")
    for row, cost in table["opening"].items():
        print(f"  {row:24}{cost:8.1f}")
    print("a stream during a recording")
    for row, cost in table["streamed"].items():
        print(f"  {row:24}{cost['recorded']:8.2f}   (bare {cost['bare']:.2f})")


if __name__ == "__main__":
    main()
