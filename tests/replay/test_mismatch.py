"""Requests without a recorded call: the message shows the nearest call, and the program does not carry on."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableLambda

import plsync.errors
from plsync.errors import NetworkBlocked, NoRecording, PlsyncError
from plsync.replay import Recording, with_recording
from tests.support.models import Chat, StreamingChat
from tests.support.replaying import poisoned, recorded, replayed
from tests.support.terminal import hidden_characters


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


def mismatch(model: Any, request: Any, **kwargs: Any) -> str:
    with pytest.raises(NoRecording) as raised:
        model.invoke(request, **kwargs)
    return str(raised.value)


def weather(city: str) -> str:
    """The weather in a city."""
    return city


def test_the_message_names_the_nearest_call_and_shows_the_difference(path: Path) -> None:
    model = recorded(Chat(), path)
    system = SystemMessage("You answer in one word.\nYou know every city.")
    model.invoke("Something else altogether")
    model.invoke([system, HumanMessage("What is the capital of France? Be brief.")])
    message = mismatch(replayed(Chat(), path), [system, HumanMessage("What is the capital of Spain? Be brief.")])
    assert message.startswith(f"no recorded call in {path} matches this request; no model was called.")
    assert "mode='new_episodes'" in message
    assert "The nearest call is in line 3" in message
    changed = [line.strip() for line in message.splitlines() if line.strip()[:1] in "-+"]
    assert changed == [
        "--- recorded",
        "+++ requested",
        "-messages[1].content: What is the capital of France?",
        "+messages[1].content: What is the capital of Spain?",
    ]


def test_a_changed_tool_is_shown(path: Path) -> None:
    tool = {"name": "weather", "description": "The weather.", "parameters": {"type": "object"}}
    recorded(Chat(), path).invoke("hi", tools=[tool])
    message = mismatch(replayed(Chat(), path), "hi", tools=[{**tool, "description": "The weather now."}])
    assert "-tools[0].description: The weather." in message
    assert "+tools[0].description: The weather now." in message


def test_only_the_difference_of_a_long_prompt_is_shown(path: Path) -> None:
    words = [f"word{number}" for number in range(3000)]
    recorded(Chat(), path).invoke(" ".join(words))
    words[1500] = "other"
    message = mismatch(replayed(Chat(), path), " ".join(words))
    assert "word1500" in message
    assert "other" in message
    assert len(message.splitlines()) < 20


def test_a_missing_recording_is_reported(path: Path) -> None:
    message = mismatch(replayed(Chat(), path), "hi")
    assert f"no recorded call in {path} matches this request; no model was called: nothing is recorded there" in message
    assert "messages[0].content: hi" in message


def test_the_nearest_call_is_found_in_a_large_recording(path: Path) -> None:
    model = recorded(Chat(), path)
    for number in range(300):
        model.invoke(f"question {number} " + "and so on " * 200)
    message = mismatch(replayed(Chat(), path), "question 217! " + "and so on " * 200)
    assert "question 217" in message


# --- no program carries on ---


def test_retries_stop(path: Path) -> None:
    recording = Recording(path)
    model = with_recording(poisoned(Chat()), recording).with_retry(stop_after_attempt=3)
    with pytest.raises(NoRecording):
        model.invoke("hi")
    assert recording.counts.missed == 1


def test_fallbacks_do_not_take_over(path: Path) -> None:
    with pytest.raises(NoRecording):
        replayed(Chat(), path).with_fallbacks([Chat(reply=lambda _: AIMessage("fallback"))]).invoke("hi")


def test_a_program_that_catches_exceptions_does_not_carry_on(path: Path) -> None:
    def apologise(question: str) -> str:
        try:
            return str(replayed(Chat(), path).invoke(question).content)
        except Exception:
            return "Sorry, something went wrong."

    with pytest.raises(NoRecording):
        RunnableLambda(apologise).invoke("hi")


async def test_tasks_and_batches_do_not_carry_on(path: Path) -> None:
    model = replayed(Chat(), path)
    with pytest.raises(NoRecording):
        await asyncio.wait_for(model.ainvoke("hi"), 5)
    with pytest.raises(NoRecording):
        await asyncio.gather(*(model.ainvoke("hi") for _ in range(3)))
    with pytest.raises(NoRecording):
        model.batch(["hi"] * 3, return_exceptions=True)


def test_no_recording_is_a_plsync_error_but_not_an_exception() -> None:
    for outcome in (NoRecording, NetworkBlocked):
        assert issubclass(outcome, PlsyncError)
        assert not issubclass(outcome, Exception)


def test_every_other_error_of_plsync_is_an_exception() -> None:
    def below(cls: type) -> set[type]:
        return {cls}.union(*map(below, cls.__subclasses__()))

    ours = {cls for cls in below(PlsyncError) if cls.__module__.startswith("plsync") and cls.__name__[0] != "_"}
    assert {cls for cls in ours if not issubclass(cls, Exception)} == {PlsyncError, NoRecording, NetworkBlocked}
    assert {cls.__name__ for cls in ours} <= set(plsync.errors.__all__)


# --- streams that were not read to their end ---


def test_a_stream_is_served_up_to_its_last_recorded_chunk(path: Path) -> None:
    stream = recorded(StreamingChat(), path).stream("hi")
    assert [next(stream).text, next(stream).text] == ["a ", "b "]
    assert isinstance(stream, Generator)
    stream.close()
    again = replayed(StreamingChat(), path).stream("hi")
    assert [next(again).text, next(again).text] == ["a ", "b "]
    with pytest.raises(NoRecording, match="stopped reading this response after 2 chunks"):
        next(again)


def test_an_incomplete_response_is_not_served_whole(path: Path) -> None:
    stream = recorded(StreamingChat(), path).stream("hi")
    next(stream)
    assert isinstance(stream, Generator)
    stream.close()
    with pytest.raises(NoRecording, match=r"stopped reading this response \(line 2 of .*\), so its end is unknown"):
        replayed(StreamingChat(), path).invoke("hi")
    assert with_recording(StreamingChat(), path, mode="new_episodes").invoke("hi").text == "yes"


async def test_a_cancelled_stream_is_incomplete(path: Path) -> None:
    async def read() -> None:
        async for _ in recorded(StreamingChat(), path).astream("hi"):
            begun.set()
            await asyncio.Event().wait()

    begun = asyncio.Event()
    reader = asyncio.create_task(read())
    await begun.wait()
    reader.cancel()
    await asyncio.gather(reader, return_exceptions=True)
    while not path.exists():  # the event loop closes the abandoned stream
        await asyncio.sleep(0)
    again = replayed(StreamingChat(), path).astream("hi")
    assert (await anext(again)).text == "a "
    with pytest.raises(NoRecording):
        await anext(again)


def test_no_text_of_a_request_steers_a_terminal_or_begins_a_line(path: Path) -> None:
    hostile = "\x1b]0;owned\x07\x1b[31mRED\u202e\u200b\rforged\x85forged"
    recorded(Chat(), path).invoke(hostile, tools=[{"name": "weather", "a\n::error::forged": hostile}])
    message = mismatch(replayed(Chat(), path), "Hello", tools=[{"name": "weather", "b\n::error::forged": hostile}])
    assert "RED" in message
    assert not hidden_characters(message)
    assert not [line for line in message.splitlines()[2:] if not line.startswith("    ")]


@pytest.mark.parametrize(
    ("old", "new", "shown", "shown_new"),
    [
        ("Be short.\r\nThanks.", "Be short.\nThanks.", r"'Be short.\r\nThanks.'", r"'Be short.\nThanks.'"),
        ("Be short. ", "Be short.", "'Be short. '", "'Be short.'"),
        ("Be short.  Thanks.", "Be short. Thanks.", "'Be short.  Thanks.'", "'Be short. Thanks.'"),
        ("Be\u00a0short.", "Be short.", r"'Be\xa0short.'", "'Be short.'"),
        ("Be\u200bshort.", "Beshort.", r"'Be\u200bshort.'", "'Beshort.'"),
        ("Caf\u00e9?", "Cafe\u0301?", r"'Caf\xe9?'", r"'Cafe\u0301?'"),
        ("\ufeffBe short.", "Be short.", r"'\ufeffBe short.'", "'Be short.'"),
        ("Be\tshort.", "Be short.", r"'Be\tshort.'", "'Be short.'"),
        ("Be short.\n", "Be short.", r"'Be short.\n'", "'Be short.'"),
        ("P\u0430ris?", "Paris?", r"'P\u0430ris?'", "'Paris?'"),
    ],
)
def test_a_difference_that_cannot_be_seen_is_shown_by_escapes(
    path: Path, old: str, new: str, shown: str, shown_new: str
) -> None:
    recorded(Chat(), path).invoke(old)
    message = mismatch(replayed(Chat(), path), new)
    assert f"-messages[0].content: {shown}\n" in message
    assert message.endswith(f"+messages[0].content: {shown_new}")


def test_a_hidden_difference_in_a_long_text_is_shown_with_its_surroundings(path: Path) -> None:
    text = "One more sentence. " * 200
    recorded(Chat(), path).invoke(f"{text}\u00a0end. {text}")
    message = mismatch(replayed(Chat(), path), f"{text} end. {text}")
    assert r"One more sentence. \xa0end. One" in message
    assert len(message) < 1200
