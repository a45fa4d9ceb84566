"""Models that cannot serve two calls at once: while they are recorded, their calls run one at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models.llms import LLM
from langchain_core.outputs import GenerationChunk

from plsync.errors import ReplayError
from tests.support.replaying import recorded, replayed


class Native:
    """A native model that fails when two calls are inside."""

    def __init__(self) -> None:
        self.inside = threading.Semaphore(1)
        self.collisions = 0

    def __enter__(self) -> None:
        if not self.inside.acquire(blocking=False):
            self.collisions += 1
            raise AssertionError("two at a time")

    def __exit__(self, *_: object) -> None:
        self.inside.release()


class GPT4All(LLM):
    """Unsafe by the name of its class."""

    client: Any

    @property
    def _llm_type(self) -> str:
        return "unsafe"

    def _call(self, prompt: str, *args: Any, **kwargs: Any) -> str:
        with self.client:
            threading.Event().wait(0.002)
            return prompt

    def _stream(self, prompt: str, *args: Any, **kwargs: Any) -> Iterator[GenerationChunk]:
        with self.client:
            for word in prompt.split():
                yield GenerationChunk(text=word)


class Other(GPT4All):
    """Derives from an unsafe class."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


def in_threads(model: Any, number: int) -> list[str]:
    answers: list[str] = []
    threads = [threading.Thread(target=lambda n=n: answers.append(model.invoke(f"p{n}"))) for n in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(answers)


@pytest.mark.parametrize("model", [GPT4All, Other])
def test_threads_take_turns(model: type[GPT4All], path: Path) -> None:
    native = Native()
    assert in_threads(recorded(model(client=native), path), 8) == [f"p{number}" for number in range(8)]
    assert native.collisions == 0


async def test_coroutines_take_turns(path: Path) -> None:
    native = Native()
    model = recorded(GPT4All(client=native), path)
    answers = await asyncio.gather(*(model.ainvoke(f"p{number}") for number in range(40)))
    assert answers == [f"p{number}" for number in range(40)]
    assert native.collisions == 0


async def test_async_streams_take_turns_although_threads_run_them(path: Path) -> None:
    async def read(number: int) -> list[str]:
        return [word async for word in model.astream(f"{number} is it")]

    native = Native()
    model = recorded(GPT4All(client=native), path)
    assert await asyncio.gather(*map(read, range(40))) == [[str(number), "is", "it"] for number in range(40)]
    assert native.collisions == 0


async def test_a_cancelled_waiter_is_skipped(path: Path) -> None:
    model = recorded(GPT4All(client=Native()), path)
    stream = model.astream("a b")
    assert await anext(stream) == "a"
    waiting = [asyncio.create_task(model.ainvoke(f"p{number}")) for number in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    assert [word async for word in stream] == ["b"]
    assert await asyncio.gather(*waiting[1:]) == ["p1", "p2"]


def test_models_around_one_native_model_share_a_lock(path: Path) -> None:
    native = Native()
    models = [recorded(GPT4All(client=native), path.with_name(f"{number}.jsonl")) for number in range(4)]
    threads = [threading.Thread(target=model.batch, args=(["a", "b"],)) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert native.collisions == 0


def test_a_second_call_inside_a_stream_fails_without_a_deadlock(path: Path) -> None:
    model = recorded(GPT4All(client=Native()), path)
    stream = model.stream("a b")
    next(stream)
    with pytest.raises(ReplayError, match="read or close that stream first"):
        model.invoke("c")
    assert list(stream) == ["b"]
    assert model.invoke("c") == "c"


async def test_a_second_call_inside_an_async_stream_fails(path: Path) -> None:
    model = recorded(GPT4All(client=Native()), path)
    async for _ in model.astream("a b"):
        with pytest.raises(ReplayError, match="read or close that stream first"):
            await model.ainvoke("c")


def test_safe_models_run_concurrently_unless_serial_is_set(path: Path) -> None:
    class Safe(GPT4All):
        __qualname__ = "Safe"

        def _call(self, prompt: str, *args: Any, **kwargs: Any) -> str:
            barrier.wait(timeout=30)
            return prompt

    barrier = threading.Barrier(4)
    in_threads(recorded(Safe(client=Native()), path, serial=False), 4)
    native = Native()
    in_threads(recorded(Other(client=native), path, serial=True), 4)
    assert native.collisions == 0


def test_replays_do_not_wait_for_each_other(path: Path) -> None:
    recording = recorded(GPT4All(client=Native()), path)
    list(recording.stream("x y"))
    recording.invoke("c")
    replay = replayed(GPT4All(client=Native()), path)
    stream = replay.stream("x y")
    next(stream)
    assert replay.invoke("c") == "c"
