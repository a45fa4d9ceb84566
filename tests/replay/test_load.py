"""A model made of a recording alone, and every model of a program with one recording."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from langchain.chat_models import init_chat_model
from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel, FakeListChatModel, FakeListLLM
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatResult
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, Field

from plsync.errors import NoRecording, RecordingFormatError, RecordingNotFound
from plsync.replay import Recording, load, record_all, with_recording
from tests.support.models import CallbackLLM, Chat, StreamingChat
from tests.support.openai_server import OpenAIServer
from tests.support.replaying import lines, poisoned, recorded


class City(BaseModel):
    """A city."""

    name: str = Field(description="Its name.")


def weather(city: str) -> str:
    """The weather in a city."""
    return city


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def live(server: OpenAIServer) -> ChatOpenAI:
    return ChatOpenAI(model="gpt-4o-mini", base_url=server.url, api_key="none", max_retries=0)


# --- load ---


def test_a_chat_model_of_a_recording(path: Path) -> None:
    model = recorded(StreamingChat(), path)
    first, chunks = model.invoke("a"), list(model.stream("b"))
    loaded = load(path)
    assert isinstance(loaded, BaseChatModel)
    assert loaded.invoke("a") == first
    assert list(loaded.stream("b")) == chunks
    with pytest.raises(NoRecording):
        loaded.invoke("c")


async def test_a_loaded_model_serves_every_kind_of_call(path: Path) -> None:
    recorded(Chat(), path).batch(["hi"] * 4)
    loaded = load(path)
    assert (await loaded.ainvoke("hi")).content == "yes"
    assert [chunk.content async for chunk in loaded.astream("hi")] == ["yes"]
    assert [chunk.content for chunk in loaded.stream("hi")] == ["yes"]
    assert loaded.batch(["hi"])[0].content == "yes"


def test_a_text_model_of_a_recording(path: Path) -> None:
    recorded(CallbackLLM(), path).invoke("hi")
    assert load(path).invoke("hi") == "a b"
    assert list(load(path).stream("hi")) == ["a b"]


async def test_a_text_model_streams_asynchronously(path: Path) -> None:
    recorded(CallbackLLM(), path).invoke("hi")
    assert [word async for word in load(path).astream("hi")] == ["a b"]


def test_the_kind_can_be_chosen_from_a_recording_of_both_kinds(path: Path) -> None:
    recording = Recording(path, mode="new_episodes")
    with_recording(Chat(), recording).invoke("hi")
    with_recording(CallbackLLM(), recording).invoke("hi")
    assert load(path).invoke("hi").content == "yes"
    assert load(path, kind="llm").invoke("hi") == "a b"


def test_a_loaded_model_has_the_name_of_the_recorded_model(path: Path, live: ChatOpenAI) -> None:
    recorded(live, path).invoke("hi")
    assert load(path).model_name == "gpt-4o-mini"


def test_tools_match_in_any_form(path: Path, live: ChatOpenAI) -> None:
    first = recorded(live, path).bind_tools([weather], tool_choice="weather").invoke("The weather in Paris?")
    assert load(path).bind_tools([weather], tool_choice="weather").invoke("The weather in Paris?") == first


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
@pytest.mark.parametrize("schema", [City, City.model_json_schema() | {"description": "A city."}])
def test_structured_output_matches_in_any_form(
    method: Literal["json_schema", "function_calling"], schema: Any, path: Path, live: ChatOpenAI
) -> None:
    first = recorded(live, path).with_structured_output(schema, method=method).invoke("Say 'Paris'")
    again = load(path).with_structured_output(schema).invoke("Say 'Paris'")
    assert type(again) is type(first)
    assert again == first
    raw = load(path).with_structured_output(schema, include_raw=True).invoke("Say 'Paris'")
    assert (raw["parsed"], raw["parsing_error"]) == (first, None)
    assert isinstance(raw["raw"], AIMessage)


def test_a_response_that_does_not_fit_the_schema_is_a_parsing_error(path: Path, live: ChatOpenAI) -> None:
    model = recorded(live, path)
    with pytest.raises(OutputParserException):
        model.with_structured_output(City, method="json_mode").invoke("Say it in JSON")
    raw = load(path).with_structured_output(City, include_raw=True).invoke("Say it in JSON")
    assert raw["parsed"] is None
    assert raw["parsing_error"] is not None


def test_a_model_of_the_recorded_class_sends_the_same_requests(path: Path, live: ChatOpenAI) -> None:
    first = recorded(live, path).with_structured_output(City).invoke("Say 'Paris'")
    like = load(path, ChatOpenAI, model="gpt-4o-mini")
    assert isinstance(like, ChatOpenAI)
    assert like.with_structured_output(City).invoke("Say 'Paris'") == first


def test_a_class_is_loaded_without_its_required_fields(path: Path) -> None:
    recorded(FakeListLLM(responses=["a"]), path).invoke("hi")
    assert load(path, FakeListLLM).invoke("hi") == "a"
    with pytest.raises(TypeError, match="str is neither a chat model, nor a text model, nor embeddings"):
        load(path, str)


def test_loading_without_a_recording_raises_an_error(path: Path) -> None:
    with pytest.raises(RecordingNotFound, match="nothing is recorded in"):
        load(path)
    path.write_text("notes\n")
    with pytest.raises(RecordingFormatError):
        load(path)


# --- record_all ---


def test_every_model_is_recorded_and_served(path: Path) -> None:
    def program() -> list[Any]:
        before = StreamingChat()
        return [before.invoke("a"), *before.stream("b"), FakeListLLM(responses=["c"]).invoke("c")]

    with record_all(path, mode="all") as recording:
        first = program()
    assert recording.counts.recorded == 3
    with record_all(path) as replay:
        assert program() == first
    assert (replay.counts.replayed, replay.counts.missed) == (3, 0)


async def test_async_calls_and_events_are_recorded_and_served(path: Path) -> None:
    model = StreamingChat()

    async def program() -> list[Any]:
        chunks = [chunk async for chunk in model.astream("b")]
        events = [event["event"] async for event in model.astream_events("c", version="v2")]
        return [await model.ainvoke("a"), chunks, events, await FakeListLLM(responses=["d"]).abatch(["d", "e"])]

    with record_all(path, mode="all"):
        first = await program()
    with record_all(path) as replay:
        assert await program() == first
    assert replay.unused() == []


@pytest.mark.skipif("stream_events" not in vars(BaseChatModel), reason="langchain-core has no v3 yet")
@pytest.mark.filterwarnings("ignore:.*in beta")
def test_events_of_version_3_are_recorded_and_served(path: Path) -> None:
    for mode in ("all", "none"):
        with record_all(path, mode=mode):
            assert StreamingChat().stream_events("hi", version="v3").output.text == "a b c"


def test_the_live_model_is_not_called(path: Path) -> None:
    with record_all(path, mode="all"):
        StreamingChat().invoke("a")
    with record_all(path):
        assert poisoned(StreamingChat()).invoke("a").content == "yes"
        with pytest.raises(NoRecording):
            poisoned(StreamingChat()).invoke("b")


def test_the_patch_ends_with_the_block(path: Path) -> None:
    before = {base: dict(vars(base)) for base in (BaseChatModel,)}
    with record_all(path, mode="all"):
        pass
    assert {base: dict(vars(base)) for base in before} == before
    StreamingChat().invoke("a")
    assert not path.exists()


def test_other_threads_are_served(path: Path) -> None:
    answers: list[str] = []
    for mode in ("all", "none"):
        with record_all(path, mode=mode):
            thread = threading.Thread(target=lambda: answers.append(Chat().invoke("hi").text))
            thread.start()
            thread.join()
    assert answers == ["yes", "yes"]
    assert len(lines(path)) == 1


def test_a_model_with_another_recording_keeps_it(path: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    with record_all(path, mode="all"):
        recorded(Chat(), own).invoke("hi")
    assert own.exists()
    assert not path.exists()


def test_a_model_that_calls_another_model_is_recorded_once(path: Path) -> None:
    class Router(Chat):
        inner: Any = None

        def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
            answer = asyncio.run(self.inner.ainvoke(messages))
            return Chat(reply=lambda _: AIMessage(f"they say {answer.content}"))._generate(messages)

    with record_all(path, mode="all"):
        assert Router(inner=Chat()).invoke("hi").content == "they say yes"
    assert len(lines(path)) == 1
    with record_all(path) as replay:
        assert Router(inner=poisoned(Chat())).invoke("hi").content == "they say yes"
    assert replay.unused() == []


def test_a_model_made_from_a_string_is_recorded_and_served_without_a_key(
    path: Path, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def program() -> Any:
        return init_chat_model("openai:gpt-4o-mini").invoke("The capital of France?")

    monkeypatch.setenv("OPENAI_API_KEY", "sk-a-key-that-is-nobodys")
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    with record_all(path, mode="once"):
        first = program()
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1")
    with record_all(path):
        assert program() == first
    assert "OPENAI_API_KEY" not in os.environ
    assert len(server.requests) == 1


def test_the_inner_of_two_recordings_serves_first(path: Path, tmp_path: Path) -> None:
    inner = tmp_path / "inner.jsonl"
    with record_all(path, mode="all"):
        with record_all(inner, mode="all"):
            FakeListChatModel(responses=["a"]).invoke("inner")
        FakeListChatModel(responses=["a"]).invoke("outer")
    assert [lines(one)[0]["request"]["messages"][0]["content"] for one in (path, inner)] == ["outer", "inner"]
