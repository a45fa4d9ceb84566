"""A chat model recorded and replayed: every kind of call returns the same objects, and no live model is called."""

from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import threading
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel, FakeListChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, LLMResult
from langchain_core.runnables import ConfigurableField

from plsync.replay import with_recording
from tests.support.generated import same
from tests.support.models import Chat, StreamingChat
from tests.support.replaying import lines, recorded, replayed

USAGE = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
RICH = AIMessage(
    content=[{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "Paris"}],
    tool_calls=[{"name": "weather", "args": {"city": "Paris", "days": 2}, "id": "call_x"}],
    invalid_tool_calls=[{"name": "broken", "args": "{", "id": "call_y", "error": "no JSON"}],
    usage_metadata={**USAGE, "input_token_details": {"cache_read": 1}},
    response_metadata={"model_name": "m", "logprobs": {"content": [{"token": "Paris", "logprob": -0.1}]}},
    additional_kwargs={"refusal": None, "raw": b"\x00\x01", "when": (1, 2.5, float("inf"))},
    name="oracle",
)


class CutChat(Chat):
    """Streams chunks of every kind: empty ones, tool calls in pieces, usage, an empty last one."""

    pieces: tuple[AIMessageChunk, ...] = (
        AIMessageChunk(content="", response_metadata={"model_provider": "cut"}),
        AIMessageChunk(content="Pa", response_metadata={"model_provider": "cut"}),
        AIMessageChunk(content="ris", response_metadata={"model_provider": "cut"}),
        AIMessageChunk(content="", tool_call_chunks=[{"name": "weather", "args": "", "id": "c1", "index": 0}]),
        AIMessageChunk(content="", tool_call_chunks=[{"name": None, "args": '{"city": "Pa', "id": None, "index": 0}]),
        AIMessageChunk(content="", tool_call_chunks=[{"name": None, "args": 'ris"}', "id": None, "index": 0}]),
        AIMessageChunk(content="", usage_metadata=USAGE),
        AIMessageChunk(content="", chunk_position="last", response_metadata={"finish_reason": "stop"}),
    )

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for piece in self.pieces:
            yield ChatGenerationChunk(
                message=piece.model_copy(), generation_info={"cut": True} if piece.content else None
            )


class AsyncChat(Chat):
    """Has native async methods, and only an async stream."""

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        await asyncio.sleep(0)
        return self._generate(messages)

    async def _astream(
        self, messages: list[BaseMessage], *args: Any, **kwargs: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        for word in ("a", "b"):
            await asyncio.sleep(0)
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


def chunks_equal(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(map(same, one, other))


def test_a_replayed_message_equals_the_recorded_one_in_every_field(path: Path) -> None:
    model = Chat(reply=lambda _: RICH.model_copy())
    first = recorded(model, path).invoke("The capital of France?")
    assert (first.id or "").startswith("lc_run--")
    assert same(replayed(model, path).invoke("The capital of France?"), first)


def test_a_replayed_stream_has_the_recorded_chunks(path: Path) -> None:
    first = list(recorded(CutChat(), path).stream("Where?"))
    again = list(replayed(CutChat(), path).stream("Where?"))
    assert len(first) == len(CutChat().pieces)
    assert first[-1].chunk_position == "last"
    assert chunks_equal(again, first)


async def test_async_calls_are_replayed(path: Path) -> None:
    recording = recorded(CutChat(reply=lambda _: RICH.model_copy()), path)
    first = await recording.ainvoke("What?")
    chunks = [chunk async for chunk in recording.astream("Where?")]
    replay = replayed(CutChat(), path)
    assert same(await replay.ainvoke("What?"), first)
    assert chunks_equal([chunk async for chunk in replay.astream("Where?")], chunks)


async def test_native_async_methods_of_a_model_are_recorded(path: Path) -> None:
    recording = recorded(AsyncChat(), path)
    first = await recording.ainvoke("What?")
    chunks = [chunk async for chunk in recording.astream("Where?")]
    assert [chunk.content for chunk in chunks] == ["a", "b", ""]
    replay = replayed(AsyncChat(), path)
    assert same(await replay.ainvoke("What?"), first)
    assert chunks_equal([chunk async for chunk in replay.astream("Where?")], chunks)


def test_a_call_made_once_is_recorded_once(path: Path) -> None:
    class Nested(StreamingChat):
        def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
            text = "".join(chunk.text for chunk in self._stream(messages))
            return ChatResult(generations=[ChatGeneration(message=AIMessage(text))])

    assert recorded(Nested(), path).invoke("hi").content == "a b c"
    assert len(lines(path)) == 1


def test_a_recording_that_is_collected_during_a_replay_moves_no_call(path: Path) -> None:
    first_started, second_ended = threading.Event(), threading.Event()

    def answer(messages: list[BaseMessage]) -> AIMessage:
        if messages[-1].content == "first":
            first_started.set()
            second_ended.wait(10)
        return AIMessage(f"{messages[-1].content}!")

    recorder = recorded(Chat(reply=answer), path)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(recorder.invoke, "first")
        first_started.wait(10)
        recorder.invoke("second")
        second_ended.set()
        first.result()
    replay = replayed(Chat(), path)
    assert replay.invoke("second").content == "second!"
    del recorder, first, pool
    gc.collect()
    assert replay.invoke("first").content == "first!"


def test_batches_are_replayed_in_order(path: Path) -> None:
    model = Chat(reply=lambda messages: AIMessage(f"{messages[-1].content}!"))
    questions: list[LanguageModelInput] = [f"question {number}" for number in range(20)]
    first = recorded(model, path).batch(questions)
    assert [same(*pair) for pair in zip(replayed(model, path).batch(questions), first, strict=True)] == [True] * 20
    assert [message.content for message in first] == [f"{question}!" for question in questions]


async def test_concurrent_calls_are_replayed_in_any_order(path: Path) -> None:
    model = Chat(reply=lambda messages: AIMessage(f"{messages[-1].content}!"))
    questions: list[LanguageModelInput] = [f"question {number}" for number in range(20)]
    first = await recorded(model, path).abatch(questions)
    replay = replayed(model, path)
    again = await asyncio.gather(*(replay.ainvoke(question) for question in reversed(questions)))
    assert [message.content for message in again[::-1]] == [message.content for message in first]


def test_generate_returns_every_candidate_and_the_metadata_of_the_provider(path: Path) -> None:
    class Several(Chat):
        def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
            made = [ChatGeneration(message=AIMessage(text), generation_info={"at": text}) for text in "abc"]
            return ChatResult(generations=made, llm_output={"token_usage": {"total": 3}, "model_name": "several"})

    first = recorded(Several(), path).generate([[AIMessage("x")], [AIMessage("y")]])
    again = replayed(Several(), path).generate([[AIMessage("x")], [AIMessage("y")]])
    assert again.generations == first.generations
    assert [[one.text for one in several] for several in again.generations] == [["a", "b", "c"]] * 2
    assert message_ids(again) == message_ids(first)


def message_ids(result: LLMResult) -> list[list[str | None]]:
    return [[one.message.id for one in several if isinstance(one, ChatGeneration)] for several in result.generations]


def test_callbacks_receive_the_recorded_events(path: Path) -> None:
    class Listener(BaseCallbackHandler):
        def __init__(self) -> None:
            self.received: list[Any] = []

        def on_chat_model_start(self, serialized: Any, messages: Any, **kwargs: Any) -> None:
            self.received.append((serialized, messages, kwargs["invocation_params"], kwargs["name"]))

        def on_llm_new_token(self, token: Any, *, chunk: Any = None, **kwargs: Any) -> None:
            self.received.append((token, chunk))

        def on_llm_end(self, response: Any, **kwargs: Any) -> None:
            self.received.append(response.generations)

    live, replay = Listener(), Listener()
    list(recorded(CutChat(), path).stream("Where?", {"callbacks": [live]}))
    list(replayed(CutChat(), path).stream("Where?", {"callbacks": [replay]}))
    assert replay.received == live.received


def test_tokens_of_a_plain_call_are_reported_again(path: Path) -> None:
    class Talking(Chat):
        def _generate(
            self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **_: Any
        ) -> ChatResult:
            for word in ("Pa", "ris"):
                run_manager.on_llm_new_token(word, chunk=ChatGenerationChunk(message=AIMessageChunk(content=word)))
            return ChatResult(generations=[ChatGeneration(message=AIMessage("Paris"))])

    class Listener(BaseCallbackHandler):
        def on_llm_new_token(self, token: Any, **kwargs: Any) -> None:
            received.append((token, kwargs["chunk"]))

    received: list[Any] = []
    recorded(Talking(), path).invoke("Where?", {"callbacks": [Listener()]})
    live, received = received, []
    replayed(Talking(), path).invoke("Where?", {"callbacks": [Listener()]})
    assert received == live
    assert [token for token, _ in received] == ["Pa", "ris"]


def test_each_replay_returns_new_objects(path: Path) -> None:
    recorded(Chat(reply=lambda _: RICH.model_copy()), path).invoke("What?")
    one = replayed(Chat(), path).invoke("What?")
    assert isinstance(one.content, list)
    one.content.append("changed")
    one.tool_calls[0]["args"]["city"] = "Rome"
    other = replayed(Chat(), path).invoke("What?")
    assert other.content == RICH.content
    assert other.tool_calls == RICH.tool_calls


def test_a_later_change_of_a_message_is_not_recorded(path: Path) -> None:
    class Kept(Chat):
        kept: Any = None

        def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
            return ChatResult(generations=[ChatGeneration(message=self.kept)])

    model = recorded(Kept(kept=AIMessage("original")), path)
    model.invoke("What?").content = "changed"
    assert lines(path)[0]["answer"]["generations"][0]["v"]["message"]["v"]["content"] == "original"


def test_a_recorded_stream_is_not_buffered(path: Path) -> None:
    yielded: list[str] = []

    class Watched(Chat):
        def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
            for word in ("one", "two"):
                yielded.append(word)
                yield ChatGenerationChunk(message=AIMessageChunk(content=word))

    stream = recorded(Watched(), path).stream("What?")
    assert next(stream).content == "one"
    assert yielded == ["one"]


# --- the proxied model ---


def test_a_proxied_model_keeps_its_class_and_the_live_model_is_unchanged(path: Path) -> None:
    model = FakeListChatModel(responses=["a"], name="mine")
    proxied = with_recording(model, path)
    assert isinstance(proxied, FakeListChatModel)
    assert type(proxied).__name__ == "FakeListChatModel"
    assert proxied.lc_id() == model.lc_id()
    assert proxied._identifying_params == model._identifying_params
    assert proxied.responses == ["a"]
    assert type(model) is FakeListChatModel


def test_a_proxied_model_streams_only_if_the_live_model_does() -> None:
    assert with_recording(StreamingChat(), "x.jsonl")._should_stream(async_api=False, stream=True)
    assert not with_recording(Chat(), "x.jsonl")._should_stream(async_api=False, stream=True)
    assert with_recording(AsyncChat(), "x.jsonl")._should_stream(async_api=True, stream=True)
    assert not with_recording(AsyncChat(), "x.jsonl")._should_stream(async_api=False, stream=True)


def test_a_model_without_streaming_yields_its_response_as_one_chunk(path: Path) -> None:
    first = list(recorded(Chat(), path).stream("hi"))
    assert [type(chunk) for chunk in first] == [AIMessage]
    assert chunks_equal(list(replayed(Chat(), path).stream("hi")), first)


def test_copies_and_configured_models_keep_the_recording(path: Path) -> None:
    recorded(FakeListChatModel(responses=["Paris"]), path).batch(["hi"] * 4)
    model = with_recording(FakeListChatModel(responses=["live"]), path)
    configurable = model.configurable_fields(sleep=ConfigurableField(id="sleep"))
    copies: list[BaseChatModel] = [
        model.model_copy(update={"tags": ["x"]}),
        copy.copy(model),
        copy.deepcopy(model),
        configurable.with_config(configurable={"sleep": 0}),  # type: ignore[list-item]
    ]
    assert [one.invoke("hi").content for one in copies] == ["Paris"] * 4


def test_a_proxied_model_is_unpickled_with_its_recording(path: Path) -> None:
    recorded(FakeListChatModel(responses=["Paris"]), path).invoke("hi")
    model = pickle.loads(pickle.dumps(with_recording(FakeListChatModel(responses=["live"]), path)))  # noqa: S301
    assert isinstance(model, FakeListChatModel)
    assert model.invoke("hi").content == "Paris"


def test_a_recorded_model_updates_its_state(path: Path) -> None:
    model = recorded(FakeListChatModel(responses=["one", "two"]), path)
    assert [model.invoke(question).content for question in "ab"] == ["one", "two"]
    assert model.i == 0  # reset after the last response


def test_bound_arguments_stay_bound(path: Path) -> None:
    bound = Chat(reply=lambda _: AIMessage("yes")).bind(stop=["x"])
    with_recording(bound, path, mode="all").invoke("hi")
    assert lines(path)[0]["request"]["stop"] == ["x"]
    assert with_recording(bound, path).invoke("hi").content == "yes"


def test_a_chain_is_refused(path: Path) -> None:
    with pytest.raises(TypeError, match="takes a model, embeddings, a retriever or a tool, not RunnableSequence"):
        with_recording(Chat() | (lambda message: message), path)
