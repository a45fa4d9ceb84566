"""Modes: the calls that are served and recorded, the last recorded response, and the order of a recording."""

from __future__ import annotations

import asyncio
import inspect
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatResult
from langchain_core.rate_limiters import BaseRateLimiter
from pydantic import Field

from plsync.errors import NoRecording
from plsync.replay import Recording, record_all, with_recording
from plsync.replay.options import ReplayOptions
from tests.support import programs
from tests.support.models import Chat, SlowChat, StreamingChat
from tests.support.replaying import lines, poisoned, recorded, replayed


class Counted(Chat):
    """Replies with the question and the number of the call."""

    received: list[str] = Field(default_factory=list)

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.received.append(str(messages[-1].content))
        return Chat(reply=lambda _: AIMessage(f"{messages[-1].content} {len(self.received)}"))._generate(messages)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


def replies(model: Any, *questions: str) -> list[str]:
    return [model.invoke(question).content for question in questions]


def questions(path: Path) -> list[str]:
    return [line["request"]["messages"][-1]["content"] for line in lines(path)]


# --- modes ---


def test_none_calls_no_model_and_writes_nothing(path: Path) -> None:
    with pytest.raises(NoRecording):
        with_recording(poisoned(Chat()), path).invoke("a")
    assert not path.exists()


class Closed(BaseRateLimiter):
    """Refuses every request."""

    def acquire(self, *, blocking: bool = True) -> bool:
        raise AssertionError("the limiter was called")

    async def aacquire(self, *, blocking: bool = True) -> bool:
        raise AssertionError("the limiter was called")


def test_a_replay_does_not_wait_for_a_rate_limiter(path: Path) -> None:
    assert replies(recorded(Counted(), path), "a", "b") == ["a 1", "b 2"]
    model = replayed(Counted(rate_limiter=Closed()), path)
    assert model.invoke("a").content == "a 1"
    assert asyncio.run(model.ainvoke("b")).content == "b 2"
    with pytest.raises(AssertionError, match="the limiter"):
        recorded(Counted(rate_limiter=Closed()), path).invoke("c")


def test_once_records_into_a_new_recording_and_serves_an_existing_one(path: Path) -> None:
    assert replies(with_recording(Counted(), path, mode="once"), "a", "b", "a") == ["a 1", "b 2", "a 3"]
    again = with_recording(poisoned(Counted()), path, mode="once")
    assert replies(again, "a", "b", "a") == ["a 1", "b 2", "a 3"]
    with pytest.raises(NoRecording, match="mode='once'"):
        again.invoke("c")


def test_new_episodes_serves_recorded_calls_and_records_other_calls(path: Path) -> None:
    recorded(Counted(), path).invoke("a")
    model = Counted()
    assert replies(with_recording(model, path, mode="new_episodes"), "a", "b", "b") == ["a 1", "b 1", "b 2"]
    assert model.received == ["b", "b"]
    assert replies(replayed(Counted(), path), "b", "a", "b") == ["b 1", "a 1", "b 2"]


def test_all_records_every_call_and_replaces_the_recording(path: Path) -> None:
    with Recording(path, mode="all") as first:
        replies(with_recording(Counted(), first), "a", "b")
    with Recording(path, mode="all") as second:
        assert replies(with_recording(Counted(received=["before"]), second), "a", "b") == ["a 2", "b 3"]
    assert replies(replayed(Counted(), path), "a", "b") == ["a 2", "b 3"]
    assert len(lines(path)) == 2


def test_an_unknown_mode_is_refused(path: Path) -> None:
    with pytest.raises(ValueError, match="there are none, once, new_episodes, all"):
        with_recording(Chat(), path, mode="al")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="speed is above 0"):
        with_recording(Chat(), path, speed=0)
    with pytest.raises(ValueError, match="'fail' or 'repeat'"):
        with_recording(Chat(), path, exhausted="loop")  # type: ignore[arg-type]


def test_an_unknown_option_is_refused(path: Path) -> None:
    recording = Recording(path)
    for target in (path, recording):
        with pytest.raises(TypeError, match="sped"):
            with_recording(Chat(), target, sped=2)  # type: ignore[call-arg]
        with pytest.raises(TypeError, match="sped"), record_all(target, sped=2):  # type: ignore[call-arg]
            pass
    assert isinstance(with_recording(Chat(), recording, speed=0), Chat)  # an open recording has its own options


def test_the_signature_of_a_recording_has_every_option() -> None:
    path_and_mode, options = (names := list(inspect.signature(Recording).parameters))[:2], names[2:]
    assert path_and_mode == ["path", "mode"]
    assert options == list(ReplayOptions.__annotations__)


# --- the same request again ---


def test_repeated_requests_are_served_in_their_recorded_order(path: Path) -> None:
    replies(recorded(Counted(), path), "a", "x", "a")
    assert replies(replayed(Counted(), path), "x", "a", "a") == ["x 2", "a 1", "a 3"]


def test_a_replay_fails_after_the_last_recorded_response(path: Path) -> None:
    replies(recorded(Counted(), path), "a", "a")
    replay = replayed(Counted(), path)
    replies(replay, "a", "a")
    with pytest.raises(NoRecording, match=r"recorded 2 times in .*calls\.jsonl, and the program makes it once more"):
        replay.invoke("a")


def test_exhausted_repeat_serves_the_last_response_with_new_ids(path: Path) -> None:
    replies(recorded(Counted(), path), "a", "a")
    replay = replayed(Counted(), path, exhausted="repeat")
    answers = [replay.invoke("a") for _ in range(4)]
    assert [answer.content for answer in answers] == ["a 1", "a 2", "a 2", "a 2"]
    assert len({answer.id for answer in answers}) == 4


def test_a_repeated_stream_has_one_new_id(path: Path) -> None:
    list(recorded(StreamingChat(), path).stream("a"))
    replay = replayed(StreamingChat(), path, exhausted="repeat")
    first, second = ({chunk.id for chunk in replay.stream("a")} for _ in range(2))
    assert len(first) == len(second) == 1
    assert first != second


def test_each_replay_starts_with_the_first_response(path: Path) -> None:
    replies(recorded(Counted(), path), "a", "a")
    assert [replies(replayed(Counted(), path), "a") for _ in range(3)] == [["a 1"]] * 3


def test_models_that_share_a_recording_share_its_responses(path: Path) -> None:
    replies(recorded(Counted(), path), "a", "a")
    recording = Recording(path)
    one, other = with_recording(poisoned(Counted()), recording), with_recording(poisoned(Counted()), recording)
    assert replies(one, "a") + replies(other, "a") == ["a 1", "a 2"]
    assert recording.counts.replayed == 2


# --- order ---


def test_a_recording_is_sorted_by_the_start_of_its_calls(path: Path) -> None:
    with Recording(path, mode="all") as recording:
        model = with_recording(StreamingChat(), recording)
        stream = model.stream("first")
        next(stream)
        model.invoke("second")
        list(stream)
    assert questions(path) == ["first", "second"]


def test_simultaneous_calls_are_sorted_by_their_requests(path: Path) -> None:
    for _ in range(3):
        path.unlink(missing_ok=True)
        with Recording(path, mode="all") as recording:
            meet = threading.Barrier(4)
            with_recording(SlowChat(meet=meet), recording).batch(["d", "b", "c", "a"], {"max_concurrency": 4})
        assert questions(path) == ["a", "b", "c", "d"]


def test_recording_again_keeps_places_and_unchanged_lines(path: Path) -> None:
    answers = {"a": "one", "b": "two", "c": "three"}

    def reply(messages: list[BaseMessage]) -> AIMessage:
        return AIMessage(answers[str(messages[-1].content)], response_metadata={"id": len(written)})

    written: list[list[str]] = []
    for batch in ("abc", "cab"):
        with Recording(path, mode="all") as recording:
            replies(with_recording(Chat(reply=reply), recording), *batch)
        written.append(path.read_text().splitlines())
        answers["b"] = "changed"
    before, after = written
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, True, False, True]
    assert "changed" in after[2]


def test_a_changed_request_keeps_its_place(path: Path) -> None:
    for batch in (["a", "b", "c"], ["a", "b?", "c"]):
        with Recording(path, mode="all") as recording:
            replies(with_recording(Counted(), recording), *batch)
            recording.prune()
    assert questions(path) == ["a", "b?", "c"]


def test_an_edit_before_the_recording_is_closed_is_kept(path: Path) -> None:
    with Recording(path, mode="all") as recording:
        replies(with_recording(Counted(), recording), "a", "b")
        path.write_text(path.read_text().replace("a 1", "edited"))
    assert replies(replayed(Counted(), path), "a", "b") == ["edited", "b 2"]
    assert len(lines(path)) == 2


# --- unused calls ---


def test_unused_calls_are_found_and_pruned(path: Path) -> None:
    replies(recorded(Counted(), path), "a", "b", "a", "c")
    recording = Recording(path)
    replies(with_recording(Counted(), recording), "a", "c")
    assert [call.location for call in recording.unused()] == ["line 3", "line 4"]
    assert recording.prune() == 2
    assert questions(path) == ["a", "c"]


@pytest.mark.parametrize("mode", ["none", "new_episodes"])
def test_a_pruned_recording_continues(path: Path, mode: Any) -> None:
    replies(recorded(Counted(), path), "a", "b", "c", "b")
    recording = Recording(path, mode)
    model = with_recording(Counted(), recording)
    if mode == "new_episodes":
        replies(model, "new")
    assert replies(model, "c", "b") == ["c 3", "b 2"]
    recording.prune()
    assert recording.unused() == []
    assert recording.prune() == 0
    if mode == "new_episodes":
        assert replies(model, "b") == ["b 2"]  # from the model, after one earlier call
    else:
        with pytest.raises(NoRecording, match="makes it once more"):
            model.invoke("b")


def test_no_call_is_unused_after_all_were_served(path: Path) -> None:
    replies(recorded(Counted(), path), "a", "b")
    recording = Recording(path, mode="new_episodes")
    replies(with_recording(Counted(), recording), "a", "b", "new")
    assert recording.unused() == []
    assert recording.prune() == 0
    assert questions(path) == ["a", "b", "new"]


# --- concurrency ---


async def test_threads_and_coroutines_record_into_one_file(path: Path) -> None:
    model = recorded(Chat(reply=lambda messages: AIMessage(f"{messages[-1].content}!")), path)
    model.batch([f"thread {number}" for number in range(50)])
    await asyncio.gather(*(model.ainvoke(f"coroutine {number}") for number in range(50)))
    assert len(lines(path)) == 100


RECORDER = """
import sys
from langchain_core.language_models import FakeListChatModel
from plsync.replay import Recording, with_recording
with Recording(sys.argv[1], mode=sys.argv[2]) as recording:
    model = with_recording(FakeListChatModel(responses=["answer"]), recording)
    for number in range(20):
        model.invoke(f"{sys.argv[3]} {number}")
"""


@pytest.mark.parametrize("mode", ["all", "new_episodes"])
def test_processes_that_record_into_one_file_lose_no_calls(path: Path, mode: str) -> None:
    recorded(Chat(), path).invoke("before")
    recorders = [
        programs.Popen([sys.executable, "-c", RECORDER, str(path), mode, name]) for name in ("one", "two", "three")
    ]
    assert [recorder.wait(60) for recorder in recorders] == [0, 0, 0]
    assert sorted(questions(path)) == sorted(
        ["before", *(f"{name} {number}" for name in ("one", "two", "three") for number in range(20))]
    )


def test_a_killed_process_leaves_its_recorded_calls(path: Path) -> None:
    killed = RECORDER + "    import os, signal; os.kill(os.getpid(), signal.SIGKILL)\n"
    done = programs.run([sys.executable, "-c", killed, str(path), "all", "x"], check=False, timeout=60)
    assert done.returncode == -9
    assert len(lines(path)) == 20
