"""The pace of a recorded response, with a clock that the tests advance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from plsync.replay.proxy import capture, intercept
from tests.support.models import Chat
from tests.support.replaying import lines, recorded, replayed


class Clock:
    """Replaces ``time``, and the sleep of ``asyncio``."""

    now = 100.0

    def monotonic(self) -> float:
        return self.now

    def monotonic_ns(self) -> int:
        return round(self.now * 1e9)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()

    async def asleep(seconds: float) -> None:
        clock.sleep(seconds)

    for module in (capture, intercept):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(intercept, "_asleep", asleep)
    return clock


class Slow(Chat):
    """Takes 0.5 s to the first word, 0.1 s to each other word and 0.2 s to the end; 2 s for a whole response."""

    clock: Any

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.clock.sleep(2)
        return ChatResult(generations=[ChatGeneration(message=AIMessage("yes"))])

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for word, pause in (("a", 0.5), ("b", 0.1), ("c", 0.1)):
            self.clock.sleep(pause)
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))
        self.clock.sleep(0.2)


@pytest.fixture
def path(tmp_path: Path, clock: Clock) -> Path:
    path = tmp_path / "calls.jsonl"
    model = recorded(Slow(clock=clock), path)
    for _ in model.stream("stream"):
        clock.sleep(3)  # the time of the program does not count
    model.invoke("whole")
    return path


def arrivals(stream: Iterator[Any], clock: Clock, *, pause_after: float = 0.0) -> list[float]:
    found, begun = [], clock.now
    for chunk in stream:
        if chunk.content:
            found.append(round(clock.now - begun, 3))
            clock.sleep(pause_after)
    return [*found, round(clock.now - begun, 3)]


def test_the_pace_excludes_the_time_of_the_program(path: Path) -> None:
    assert [line["ms"] for line in lines(path)] == [[500, 100, 100, 200], [2000]]


def test_by_default_all_chunks_arrive_at_once(path: Path, clock: Clock) -> None:
    assert arrivals(replayed(Slow(clock=clock), path).stream("stream"), clock) == [0, 0, 0, 0]


@pytest.mark.parametrize(("speed", "expected"), [(1.0, [0.5, 0.6, 0.7, 0.9]), (10, [0.05, 0.06, 0.07, 0.09])])
def test_a_stream_is_served_at_its_recorded_pace(speed: float, expected: list[float], path: Path, clock: Clock) -> None:
    assert arrivals(replayed(Slow(clock=clock), path, speed=speed).stream("stream"), clock) == expected


def test_a_slow_reader_is_not_slowed_further(path: Path, clock: Clock) -> None:
    model = replayed(Slow(clock=clock), path, speed=1)
    assert arrivals(model.stream("stream"), clock, pause_after=0.08) == [0.5, 0.6, 0.7, 0.9]
    model = replayed(Slow(clock=clock), path, speed=1)
    assert arrivals(model.stream("stream"), clock, pause_after=1) == [0.5, 1.5, 2.5, 3.5]


def test_a_whole_response_takes_its_recorded_time(path: Path, clock: Clock) -> None:
    begun = clock.now
    replayed(Slow(clock=clock), path, speed=2).invoke("whole")
    assert clock.now - begun == 1


async def test_async_calls_keep_the_pace(path: Path, clock: Clock) -> None:
    model = replayed(Slow(clock=clock), path, speed=1)
    begun = clock.now
    found = [round(clock.now - begun, 3) async for chunk in model.astream("stream") if chunk.content]
    assert found == [0.5, 0.6, 0.7]
    await model.ainvoke("whole")
    assert round(clock.now - begun, 3) == 2.9


def test_the_other_form_of_a_response_takes_the_same_time(path: Path, clock: Clock) -> None:
    begun = clock.now
    replayed(Slow(clock=clock), path, speed=1).invoke("stream")
    assert round(clock.now - begun, 3) == 0.9
    assert arrivals(replayed(Slow(clock=clock), path, speed=1).stream("whole"), clock) == [2, 2]
