"""Calls that the program cancels are recorded and replayed as such, and concurrent calls end in the recorded order."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.language_models.llms import LLM
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.rate_limiters import InMemoryRateLimiter

from plsync.errors import NoRecording
from plsync.replay import load, record_all, with_recording
from plsync.replay.proxy import intercept
from tests.support.pytest_runs import run, summary
from tests.support.replaying import lines


class Slow(FakeListChatModel):
    """Answers after ``seconds``; streams its words, and waits before the last one."""

    seconds: float = 0.0
    fails: bool = False
    responses: list[str] = ["x"]  # noqa: RUF012 - a field of pydantic

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(self.seconds)
        if self.fails:
            raise ValueError("out of order")
        return await super()._agenerate(*args, **kwargs)

    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        for word in ("a ", "b "):
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))
        await asyncio.sleep(self.seconds)
        yield ChatGenerationChunk(message=AIMessageChunk(content="c"))


class SlowText(LLM):
    @property
    def _llm_type(self) -> str:
        return "slow"

    def _call(self, prompt: str, *args: Any, **kwargs: Any) -> str:
        return "x"

    async def _acall(self, prompt: str, *args: Any, **kwargs: Any) -> str:
        await asyncio.sleep(10)
        return "x"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


async def same_twice(path: Path, program: Callable[[], Awaitable[Any]]) -> Any:
    """The result of the program, which must be equal in three replays; every line is used."""
    with record_all(path, "once"):
        first = await program()
    for _ in range(3):
        with record_all(path) as replay:
            assert await program() == first
            assert replay.unused() == []
            assert replay.counts.missed == 0
    return first


# --- time limits ---


async def test_a_call_over_its_time_limit_is_given_up_again(path: Path) -> None:
    async def program() -> str:
        try:
            return str((await asyncio.wait_for(Slow(seconds=10).ainvoke("q"), 0.3)).content)
        except asyncio.TimeoutError:
            return "sorry"

    assert await same_twice(path, program) == "sorry"
    assert [line["answer"] for line in lines(path)] == [{"stopped": True, "given_up": True}]


async def test_a_retry_after_a_time_limit_gets_the_next_answer(path: Path) -> None:
    async def program() -> str:
        for seconds in (10.0, 0.0):
            with contextlib.suppress(asyncio.TimeoutError):
                return str((await asyncio.wait_for(Slow(seconds=seconds).ainvoke("q"), 0.3)).content)
        raise AssertionError

    assert await same_twice(path, program) == "x"
    assert len(lines(path)) == 2


async def test_a_stream_that_stalls_is_given_up_after_its_chunks(path: Path) -> None:
    async def program() -> list[Any]:
        words: list[Any] = []

        async def read() -> None:
            async for chunk in Slow(seconds=10).astream("q"):
                words.append(chunk.content)

        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(read(), 0.3)
        return words

    assert await same_twice(path, program) == ["a ", "b "]


async def test_text_models_are_given_up(path: Path) -> None:
    async def program() -> str:
        try:
            await asyncio.wait_for(SlowText().abatch(["a", "b"]), 0.3)
        except asyncio.TimeoutError:
            return "sorry"
        raise AssertionError

    assert await same_twice(path, program) == "sorry"
    assert len(lines(path)) == 2


async def test_a_call_that_is_cancelled_before_the_model_is_free_is_recorded(path: Path) -> None:
    limiter = InMemoryRateLimiter(requests_per_second=0.001, max_bucket_size=1, check_every_n_seconds=0.01)

    async def program() -> str:
        try:
            await asyncio.wait_for(Slow(rate_limiter=limiter).ainvoke("q"), 0.3)
        except asyncio.TimeoutError:
            return "sorry"
        raise AssertionError

    assert await same_twice(path, program) == "sorry"


def test_a_given_up_call_misses_where_it_cannot_be_cancelled(path: Path) -> None:
    async def give_up() -> None:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(with_recording(Slow(seconds=10), path, "once").ainvoke("q"), 0.3)

    asyncio.run(give_up())
    for model in (with_recording(Slow(), path), load(path)):
        with pytest.raises(NoRecording, match="cancelled this call"):
            model.invoke("q")
    # A live call can still be recorded beside it.
    assert with_recording(Slow(), path, "new_episodes").invoke("q").content == "x"


async def test_a_program_that_waits_longer_gets_a_named_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intercept, "_PATIENCE", 0.3)
    with record_all(path, "once"), contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(Slow(seconds=10).ainvoke("q"), 0.3)
    with record_all(path) as recording:
        with pytest.raises(NoRecording, match=r"cancelled this call after 0\.\d s.*record the call again"):
            await Slow().ainvoke("q")
        assert recording.counts.missed == 1


# --- races ---


async def test_the_loser_of_a_race_is_given_up_again(path: Path) -> None:
    async def program() -> tuple[str, list[bool]]:
        slow, fast = (Slow(responses=[str(s)], seconds=s) for s in (10.0, 0.02))
        tasks = [asyncio.create_task(model.ainvoke("q")) for model in (slow, fast)]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return str(done.pop().result().content), [task.cancelled() for task in tasks]

    # Both calls have one request, so a replay may serve either line to either task.
    with record_all(path, "once"):
        assert (await program())[0] == "0.02"
    for _ in range(3):
        with record_all(path) as replay:
            assert (await program())[0] == "0.02"
            assert replay.unused() == []


@pytest.mark.parametrize("seconds", [(0.6, 0.3, 0.0), (0.0, 0.3, 0.6), (0.3, 0.0, 0.6)])
async def test_concurrent_calls_end_in_the_recorded_order(path: Path, seconds: tuple[float, ...]) -> None:
    async def program() -> list[str]:
        calls = [Slow(responses=[str(s)], seconds=s).ainvoke(f"q {s}") for s in seconds]
        found = []
        for number, call in enumerate(asyncio.as_completed(calls)):
            found.append(str((await call).content))
            # The program reacts to each result before the next one arrives.
            found.append(str((await Slow().ainvoke(f"{number}: {found}")).content))
        return found

    assert (await same_twice(path, program))[::2] == ["0.0", "0.3", "0.6"]


async def test_a_race_that_the_program_does_not_cancel_has_the_same_winner(path: Path) -> None:
    async def program() -> str:
        slow, fast = (Slow(responses=[str(s)], seconds=s) for s in (0.5, 0.0))
        tasks = [asyncio.create_task(model.ainvoke(f"q {model.seconds}")) for model in (slow, fast)]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await asyncio.gather(*pending)
        assert len(done) == 1
        return str(done.pop().result().content)

    assert await same_twice(path, program) == "0.0"


async def test_streams_race_for_the_first_chunk(path: Path) -> None:
    class Late(Slow):
        async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
            await asyncio.sleep(self.seconds)
            yield ChatGenerationChunk(message=AIMessageChunk(content=str(self.seconds)))

    async def first_chunk(model: Late) -> str:
        async for chunk in model.astream(f"q {model.seconds}"):
            return str(chunk.content)
        raise AssertionError

    async def program() -> str:
        tasks = [asyncio.create_task(first_chunk(Late(seconds=s))) for s in (0.5, 0.01)]
        done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        return done.pop().result()

    assert await same_twice(path, program) == "0.01"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio has no TaskGroup yet")
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
async def test_the_siblings_of_a_failed_task_end_as_they_did(path: Path, order: tuple[int, ...]) -> None:
    async def program() -> tuple[list[str], str]:
        found: list[str] = []
        models = [Slow(responses=["early"]), Slow(seconds=0.5, fails=True), Slow(responses=["late"], seconds=10)]

        async def work(number: int) -> None:
            found.append(str((await models[number].ainvoke(str(number))).content))

        try:
            async with asyncio.TaskGroup() as group:  # type: ignore[attr-defined, unused-ignore]
                for number in order:
                    group.create_task(work(number))
        except BaseException as error:
            return found, repr(error)
        raise AssertionError

    found, error = await same_twice(path, program)
    assert found == ["early"]
    assert "out of order" in error


async def test_a_replay_takes_no_time(path: Path) -> None:
    async def program() -> list[AIMessage]:
        return await asyncio.gather(*(Slow(seconds=3).ainvoke(str(n)) for n in range(50)))

    with record_all(path, "once"):
        await program()
    with record_all(path):
        start = time.monotonic()
        await program()
        assert time.monotonic() - start < 3


# --- in pytest ---


def test_a_marked_test_with_a_time_limit_is_recorded(tests: pytest.Pytester) -> None:
    tests.makepyfile(
        test_app="""
        import asyncio
        import pytest
        from langchain_core.language_models import FakeListChatModel

        class Slow(FakeListChatModel):
            async def _agenerate(self, *args, **kwargs):
                await asyncio.sleep(10)

        @pytest.mark.plsync_recording
        def test_too_slow():
            async def program():
                try:
                    return (await asyncio.wait_for(Slow(responses=["x"]).ainvoke("q"), 0.3)).content
                except asyncio.TimeoutError:
                    return "sorry"
            assert asyncio.run(program()) == "sorry"
        """
    )
    result = run(tests, "--plsync-record=once")
    result.assert_outcomes(passed=1)
    assert summary(result) == "1 recorded, 0 replayed, 0 missed, 0 unused"
    result = run(tests)
    result.assert_outcomes(passed=1)
    assert summary(result) == "0 recorded, 1 replayed, 0 missed, 0 unused"
