"""Unexpected behaviour of the real LangChain. No call is lost, and none is recorded twice."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks.base import BaseCallbackHandler
from langchain_core.language_models import FakeListLLM
from langchain_core.language_models.llms import BaseLLM
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGenerationChunk, Generation, GenerationChunk, LLMResult
from langchain_core.tools import tool
from langchain_core.utils.function_calling import convert_to_openai_tool

from plsync import PromptLayerCallbackHandler
from tests.support.models import Chat, StreamingChat, records, texts


@pytest.fixture
def config(path: Path) -> Any:
    return {"callbacks": [PromptLayerCallbackHandler(journal=path)]}


class CountingLLM(BaseLLM):
    """Answers several prompts in one call and counts their tokens together, or never answers."""

    begun: Any = None

    @property
    def _llm_type(self) -> str:
        return "counting"

    def _generate(self, prompts: list[str], *args: Any, **kwargs: Any) -> LLMResult:
        counted = {"token_usage": {"prompt_tokens": 6, "completion_tokens": 3, "total_tokens": 9}}
        return LLMResult(generations=[[Generation(text="yes")] for _ in prompts], llm_output=counted)

    def _stream(self, prompt: str, *args: Any, **kwargs: Any) -> Iterator[GenerationChunk]:
        yield GenerationChunk(text="yes")

    async def _agenerate(self, prompts: list[str], *args: Any, **kwargs: Any) -> LLMResult:
        self.begun.set()
        await asyncio.Event().wait()
        raise AssertionError


class SilentChat(StreamingChat):
    """Streams without a token callback, like the models of some providers."""

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        kwargs.pop("run_manager", None)
        yield from super()._stream(messages, **kwargs)


# --- several at once ---


def test_tokens_that_are_counted_together_stand_once_in_a_batch_of_prompts(config: Any, path: Path) -> None:
    CountingLLM().batch(["one", "two", "three"], config)
    assert [record.usage and record.usage["total_tokens"] for record in records(path)] == [9, None, None]


async def test_an_async_generate_that_fails_in_part_closes_every_run(config: Any, path: Path) -> None:
    def reply(messages: list[BaseMessage]) -> AIMessage:
        if messages[0].content == "two":
            raise ValueError("no")
        return AIMessage("yes")

    conversations: list[list[BaseMessage]] = [[HumanMessage(text)] for text in ("one", "two", "three")]
    with pytest.raises(ValueError, match="no"):
        await Chat(reply=reply).agenerate(conversations, callbacks=config["callbacks"])
    found = {record.input[0]["content"]: record.status for record in records(path)}
    assert found == {"one": "ok", "two": "error", "three": "ok"}


async def test_an_async_batch_leaves_a_record_for_each_input(config: Any, path: Path) -> None:
    await Chat().abatch(["one", "two", "three"], config)
    assert sorted(record.input[0]["content"] for record in records(path)) == ["one", "three", "two"]


# --- ends that come early ---


async def test_a_cancelled_call_of_a_text_model_is_cancelled(config: Any, path: Path) -> None:
    begun = asyncio.Event()
    task = asyncio.create_task(CountingLLM(begun=begun).ainvoke("hi", config))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (record,) = records(path)
    assert (record.status, record.input) == ("cancelled", ["hi"])


async def test_a_consumer_that_stops_an_async_stream_leaves_a_partial_answer(config: Any, path: Path) -> None:
    stream: Any = StreamingChat().astream("hi", config)
    async for _ in stream:
        break
    await stream.aclose()
    (record,) = records(path)
    assert (record.status, texts(record)) == ("partial", ["a "])


async def test_an_async_stream_that_is_dropped_is_closed_by_the_loop(config: Any, path: Path) -> None:
    async def consume() -> None:
        async for _ in StreamingChat().astream("hi", config):
            break

    async def ended() -> None:
        while records(path)[0].status == "pending":
            await asyncio.sleep(0)

    await consume()
    await asyncio.wait_for(ended(), 30)
    (record,) = records(path)
    assert (record.status in {"partial", "cancelled"}, texts(record)) == (True, ["a "])


# --- streams ---


@pytest.mark.skipif(not hasattr(BaseCallbackHandler, "on_stream_event"), reason="this langchain-core has no v3")
@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
class TestProtocolStreams:
    def test_a_provider_that_reports_no_tokens_has_the_times_of_its_events(self, config: Any, path: Path) -> None:
        list(SilentChat().stream_events("hi", config, version="v3"))
        (record,) = records(path)
        assert (record.status, texts(record)) == ("ok", ["a b c"])
        assert record.first_token_at is not None
        assert len(record.chunk_times or []) >= len(SilentChat().words)

    def test_an_answer_stays_when_its_loop_ends(self, config: Any, path: Path) -> None:
        """LangChain reports an end. The loop then cancels the task, and LangChain reports an error."""

        async def consume() -> None:
            async for _ in await StreamingChat().astream_events("hi", config, version="v3"):
                pass

        asyncio.run(consume())
        (record,) = records(path)
        assert (record.status, texts(record)) == ("ok", ["a b c"])


# --- caches ---


def test_a_cached_answer_without_counted_tokens_is_marked(config: Any, path: Path) -> None:
    model = Chat(cache=InMemoryCache())
    for _ in range(2):
        model.invoke("hi", config)
    assert [record.cached for record in records(path)] == [False, True]


def test_a_text_model_that_answers_from_a_cache_leaves_no_record(config: Any, path: Path) -> None:
    model = FakeListLLM(responses=["yes"], cache=InMemoryCache())
    assert [model.invoke("hi", config) for _ in range(2)] == ["yes", "yes"]
    assert [record.cached for record in records(path)] == [False]


def test_a_stream_is_never_from_a_cache(config: Any, path: Path) -> None:
    model = StreamingChat(cache=InMemoryCache())
    for _ in range(2):
        list(model.stream("hi", config))
    assert [record.cached for record in records(path)] == [False, False]


# --- settings ---


def test_tools_and_the_schema_of_an_output_are_kept(config: Any, path: Path) -> None:
    @tool
    def weather(city: str) -> str:
        """The weather in a city."""
        return city

    schema = {"kwargs": {"method": "json_schema"}, "schema": convert_to_openai_tool(weather)}
    bound = Chat().bind(
        tools=[convert_to_openai_tool(weather)], tool_choice="weather", ls_structured_output_format=schema
    )
    bound.invoke("hi", config)
    (record,) = records(path)
    assert record.params["tools"][0]["function"]["name"] == "weather"
    assert record.params["tool_choice"] == "weather"
    assert record.options["ls_structured_output_format"]["kwargs"] == {"method": "json_schema"}


def test_settings_of_one_call_of_a_text_model_are_recorded_for_a_stream_only(config: Any, path: Path) -> None:
    """LangChain does not report them for a plain call (docs/internals/handler.md)."""
    CountingLLM().invoke("hi", config, temperature=0.5)
    list(CountingLLM().stream("hi", config, temperature=0.5))
    assert ["temperature" in record.params for record in records(path)] == [False, True]


# --- event loops ---


def test_one_handler_serves_any_number_of_event_loops(config: Any, path: Path) -> None:
    for _ in range(3):
        asyncio.run(Chat().ainvoke("hi", config))
    assert [record.status for record in records(path)] == ["ok"] * 3


def test_a_deep_copy_of_a_model_records_to_the_same_journal(config: Any, path: Path) -> None:
    model = Chat(callbacks=config["callbacks"])
    model.invoke("one")
    model.model_copy(deep=True).invoke("two")
    assert [record.input[0]["content"] for record in records(path)] == ["one", "two"]
