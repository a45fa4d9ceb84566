"""Blocks of ``record_all`` that overlap: each call reaches its recording, and LangChain is restored at the end."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.language_models.llms import BaseLLM

from plsync.errors import NoRecording
from plsync.replay import Recording, record_all
from plsync.replay.proxy import open_blocks
from tests.support.examples import examples
from tests.support.replaying import lines


def invoke(question: str) -> str:
    return str(FakeListChatModel(responses=["x"]).invoke(question).content)


def questions(path: Path) -> list[str]:
    return [line["request"]["messages"][0]["content"] for line in lines(path)] if path.exists() else []


def state() -> tuple[Any, ...]:
    variables = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}
    return dict(vars(BaseChatModel)), dict(vars(BaseLLM)), variables, list(sys.meta_path)


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = state()
    yield
    assert state() == before


# --- any order ---

ACTORS = ("main", "task 0", "task 1", "thread 0", "thread 1")
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["open", "open", "close", "invoke", "invoke", "inherit"]),
        st.sampled_from(ACTORS),
        st.integers(0, 9),
    ),
    min_size=4,
    max_size=25,
)


class Actors:
    """The main thread, tasks of an event loop, and threads: each keeps its context from step to step."""

    def __init__(self, stack: ExitStack) -> None:
        self.loop = asyncio.new_event_loop()
        stack.callback(self.loop.close)
        self.threads = {name: stack.enter_context(ThreadPoolExecutor(1)) for name in ACTORS if "thread" in name}
        self.contexts = {name: contextvars.Context() for name in ACTORS if "task" in name}

    def run(self, actor: str, function: Callable[[], Any]) -> Any:
        if actor in self.threads:
            return self.threads[actor].submit(function).result()
        if actor == "main":
            return function()

        async def step() -> Any:
            result = function()
            self.contexts[actor] = contextvars.copy_context()
            return result

        return self.loop.run_until_complete(self.contexts[actor].run(self.loop.create_task, step()))


class Expected:
    """The documented rule, over the numbers of blocks."""

    def __init__(self) -> None:
        self.open: dict[int, str] = {}
        self.inherited: dict[str, list[int]] = {name: [] for name in ACTORS}

    def receiver(self, actor: str) -> int | None:
        own = [number for number in self.inherited[actor] if number in self.open]
        if not own:
            return max(self.open, default=None)
        return max([*own, *(number for number, opener in self.open.items() if opener == "main")])


@given(steps=STEPS)
@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_each_call_reaches_its_block_in_any_order(steps: list[tuple[str, str, int]]) -> None:
    before = state()
    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        actors, expected = Actors(stack), Expected()
        blocks: dict[int, AbstractContextManager[Recording]] = {}
        received: dict[int, list[str]] = {}
        for number, (step, actor, choice) in enumerate(steps):
            if step == "open":
                blocks[number] = record_all(Path(directory) / f"{number}.jsonl", mode="once")
                actors.run(actor, blocks[number].__enter__)
                expected.open[number] = actor
                expected.inherited[actor].append(number)
                received[number] = []
            elif step == "close" and expected.open:
                closed = sorted(expected.open)[choice % len(expected.open)]
                actors.run(actor, partial(blocks[closed].__exit__, None, None, None))
                del expected.open[closed]
            elif step == "inherit" and "task" in actor:
                source = ACTORS[1 + choice % 2]
                actors.contexts[actor] = actors.contexts[source].copy()
                expected.inherited[actor] = list(expected.inherited[source])
            elif step == "invoke":
                receiver = expected.receiver(actor)
                actors.run(actor, partial(invoke, str(number)))
                if receiver is not None:
                    received[receiver].append(str(number))
        for number in sorted(expected.open, key=lambda number: number * 7 % 11):
            blocks[number].__exit__(None, None, None)
        for number, wanted in received.items():
            assert questions(Path(directory) / f"{number}.jsonl") == wanted
    assert state() == before


# --- tasks, threads and generators ---


async def test_blocks_of_concurrent_tasks_stay_apart(tmp_path: Path) -> None:
    closed = {name: asyncio.Event() for name in "abc"}

    async def block(name: str, after: str | None) -> None:
        with record_all(tmp_path / f"{name}.jsonl", "once"):
            await FakeListChatModel(responses=["x"]).ainvoke(f"{name} begins")
            if after is not None:
                await closed[after].wait()
            await FakeListChatModel(responses=["x"]).abatch([f"{name} ends"])
        closed[name].set()

    await asyncio.gather(block("a", "c"), block("b", "a"), block("c", None))
    invoke("after")
    for name in "abc":
        assert questions(tmp_path / f"{name}.jsonl") == [f"{name} begins", f"{name} ends"]


async def test_a_replaying_task_does_not_make_another_task_miss(tmp_path: Path) -> None:
    with record_all(tmp_path / "a.jsonl", "once"):
        invoke("a")

    replaying, recording_too = asyncio.Event(), asyncio.Event()

    async def replay() -> None:
        with record_all(tmp_path / "a.jsonl") as recording:
            replaying.set()
            await recording_too.wait()
            assert invoke("a") == "x"
            with pytest.raises(NoRecording):
                invoke("b")
            assert recording.counts.missed == 1

    async def record() -> None:
        await replaying.wait()
        with record_all(tmp_path / "b.jsonl", "once"):
            recording_too.set()
            await asyncio.sleep(0)
            invoke("b")

    await asyncio.gather(replay(), record())
    assert questions(tmp_path / "b.jsonl") == ["b"]


def test_blocks_of_threads_stay_apart(tmp_path: Path) -> None:
    barrier = threading.Barrier(4)

    def work(name: int) -> None:
        with record_all(tmp_path / f"{name}.jsonl", "once"):
            for step in range(3):
                barrier.wait(30)
                invoke(f"{name} {step}")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in range(4):
        assert questions(tmp_path / f"{name}.jsonl") == [f"{name} {step}" for step in range(3)]


def test_a_thread_without_a_block_uses_the_block_that_was_opened_last(tmp_path: Path) -> None:
    with record_all(tmp_path / "outer.jsonl", "once"), record_all(tmp_path / "inner.jsonl", "once"):
        thread = threading.Thread(target=invoke, args=("thread",))
        thread.start()
        thread.join()
    assert questions(tmp_path / "inner.jsonl") == ["thread"]


def test_a_generator_that_is_closed_late_leaves_nothing_behind(tmp_path: Path) -> None:
    def suspended(name: str) -> Iterator[None]:
        with record_all(tmp_path / name, "once"):
            yield

    first = suspended("first.jsonl")
    next(first)
    with record_all(tmp_path / "second.jsonl", "once"):
        invoke("in the second")
        del first
        gc.collect()
        invoke("still in the second")
    invoke("after")
    assert questions(tmp_path / "second.jsonl") == ["in the second", "still in the second"]
    assert questions(tmp_path / "first.jsonl") == []


def test_a_block_that_is_closed_while_another_one_opens_leaves_nothing_behind(tmp_path: Path) -> None:
    first = record_all(tmp_path / "first.jsonl", "once")
    first.__enter__()
    threshold = gc.get_threshold()

    def collected(phase: str, info: dict[str, int]) -> None:
        # The garbage collector runs at any allocation, so also inside the registry.
        gc.callbacks.remove(collected)
        first.__exit__(None, None, None)

    gc.callbacks.append(collected)
    gc.set_threshold(1)
    try:
        with record_all(tmp_path / "second.jsonl", "once"):
            gc.set_threshold(*threshold)
            invoke("in the second")
    finally:
        gc.set_threshold(*threshold)
    assert questions(tmp_path / "second.jsonl") == ["in the second"]


def test_a_change_inside_a_change_is_made_after_it(tmp_path: Path) -> None:
    first, second = (record_all(tmp_path / name, "once") for name in ("first.jsonl", "second.jsonl"))
    first.__enter__()
    second.__enter__()
    closing = [first]

    def close_once(_: object) -> None:
        while closing:
            closing.pop().__exit__(None, None, None)

    with open_blocks.open_block(Recording(tmp_path / "third.jsonl", "once"), close_once, ()):
        invoke("in the third")
    second.__exit__(None, None, None)
    assert questions(tmp_path / "third.jsonl") == ["in the third"]


def test_an_exception_closes_its_block_alone(tmp_path: Path) -> None:
    outer = record_all(tmp_path / "outer.jsonl", "once")
    with outer:
        with pytest.raises(KeyError), record_all(tmp_path / "inner.jsonl", "once"):
            raise KeyError
        invoke("outer")
    assert questions(tmp_path / "outer.jsonl") == ["outer"]


def test_a_patch_of_another_library_survives_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    with monkeypatch.context() as patches:
        with record_all(tmp_path / "a.jsonl", "once"):
            ours = BaseChatModel.generate

            def traced(self: Any, *args: Any, **kwargs: Any) -> Any:
                seen.append("call")
                return ours(self, *args, **kwargs)

            patches.setattr(BaseChatModel, "generate", traced)
            invoke("inside")
        invoke("outside")
    assert seen == ["call", "call"]
    assert questions(tmp_path / "a.jsonl") == ["inside"]
    BaseChatModel.generate = BaseChatModel.generate.__wrapped__  # type: ignore[method-assign, attr-defined]


def test_a_program_that_chooses_its_provider_by_its_keys_finds_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    with record_all(tmp_path / "a.jsonl", placeholder_keys=["OPENAI_API_KEY"]):
        assert "OPENAI_API_KEY" in os.environ
        assert "ANTHROPIC_API_KEY" not in os.environ
        with record_all(tmp_path / "b.jsonl"):
            assert "ANTHROPIC_API_KEY" in os.environ
        assert "ANTHROPIC_API_KEY" not in os.environ
    assert "OPENAI_API_KEY" not in os.environ


def test_keys_stay_until_the_last_replaying_block_closes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setenv("XAI_API_KEY", "")
    first, second = record_all(tmp_path / "a.jsonl"), record_all(tmp_path / "b.jsonl")
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert os.environ["OPENAI_API_KEY"]
    os.environ["MISTRAL_API_KEY"] = "the program's own"
    second.__exit__(None, None, None)
    assert "OPENAI_API_KEY" not in os.environ
    assert os.environ["XAI_API_KEY"] == ""
    assert os.environ.pop("MISTRAL_API_KEY") == "the program's own"
