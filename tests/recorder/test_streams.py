"""Streams: the whole answer, the times of its parts, and the part that an early end leaves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks.base import BaseCallbackHandler
from langchain_core.language_models import FakeStreamingListLLM
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from plsync import PromptLayerCallbackHandler
from tests.support.models import StreamingChat, StuckChat, records, texts

streams_events = pytest.mark.skipif(
    not hasattr(BaseCallbackHandler, "on_stream_event"), reason="this langchain-core has no v3 event streams"
)


@pytest.fixture
def handler(path: Path) -> PromptLayerCallbackHandler:
    return PromptLayerCallbackHandler(journal=path)


def test_a_stream_is_one_record_with_the_whole_answer(handler: PromptLayerCallbackHandler, path: Path) -> None:
    streamed = [chunk.content for chunk in StreamingChat().stream("hi", {"callbacks": [handler]})]
    (record,) = records(path)
    assert texts(record) == ["".join(str(content) for content in streamed)] == ["a b c"]
    assert record.first_token_at is not None


async def test_an_async_stream_is_the_same(handler: PromptLayerCallbackHandler, path: Path) -> None:
    async for _ in StreamingChat().astream("hi", {"callbacks": [handler]}):
        pass
    (record,) = records(path)
    assert (record.status, texts(record)) == ("ok", ["a b c"])


def test_a_text_stream_is_kept_though_its_parts_are_not_reported(
    handler: PromptLayerCallbackHandler, path: Path
) -> None:
    list(FakeStreamingListLLM(responses=["abc"]).stream("hi", {"callbacks": [handler]}))
    (record,) = records(path)
    assert texts(record) == ["abc"]


@streams_events
@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
def test_protocol_events_and_tokens_are_not_counted_twice(handler: PromptLayerCallbackHandler, path: Path) -> None:
    list(StreamingChat().stream_events("hi", {"callbacks": [handler]}, version="v3"))
    (record,) = records(path)
    assert (record.status, texts(record)) == ("ok", ["a b c"])
    assert record.chunk_times is not None
    assert len(record.chunk_times) == len(StreamingChat().words)


@streams_events
@pytest.mark.filterwarnings("ignore::langchain_core._api.beta_decorator.LangChainBetaWarning")
async def test_the_answer_of_an_async_event_stream_is_kept(handler: PromptLayerCallbackHandler, path: Path) -> None:
    stream = await StreamingChat().astream_events("hi", {"callbacks": [handler]}, version="v3")
    async for _ in stream:
        pass

    async def ended() -> None:
        while records(path)[0].status == "pending":  # LangChain reports the end in another task
            await asyncio.sleep(0)

    await asyncio.wait_for(ended(), 30)
    (record,) = records(path)
    assert (record.status, texts(record)) == ("ok", ["a b c"])


def test_an_error_keeps_the_part_that_arrived(handler: PromptLayerCallbackHandler, path: Path) -> None:
    with pytest.raises(ConnectionError):
        list(StreamingChat(fails=ConnectionError("cut")).stream("hi", {"callbacks": [handler]}))
    (record,) = records(path)
    assert (record.status, texts(record)) == ("error", ["a b c"])


def test_an_answer_with_nothing_but_reasoning_is_kept_beside_its_headers(
    handler: PromptLayerCallbackHandler, path: Path
) -> None:
    class Reasoning(StreamingChat):
        def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
            # The form of ChatOpenAI(include_response_headers=True).
            metadata = {"headers": {"x-request-id": "req_1"}}
            chunk = AIMessageChunk(
                content="", additional_kwargs={"reasoning_content": "hm"}, response_metadata=metadata
            )
            yield ChatGenerationChunk(message=chunk)
            raise ConnectionError("cut")

    with pytest.raises(ConnectionError):
        list(Reasoning().stream("hi", {"callbacks": [handler]}))
    (record,) = records(path)
    (generation,) = record.output
    assert generation["message"] is not None
    assert generation["message"]["additional_kwargs"] == {"reasoning_content": "hm"}


def test_a_consumer_that_stops_leaves_a_partial_answer(handler: PromptLayerCallbackHandler, path: Path) -> None:
    stream: Any = StreamingChat().stream("hi", {"callbacks": [handler]})
    next(stream)
    stream.close()
    (record,) = records(path)
    assert (record.status, texts(record)) == ("partial", ["a "])


async def test_a_cancelled_stream_is_cancelled(handler: PromptLayerCallbackHandler, path: Path) -> None:
    class Pausing(StreamingChat):
        async def _astream(self, *args: Any, **kwargs: Any) -> Any:
            for chunk in self._stream([]):
                yield chunk
                begun.set()
                await asyncio.Event().wait()

    async def consume() -> None:
        async for _ in Pausing().astream("hi", {"callbacks": [handler]}):
            pass

    begun = asyncio.Event()
    task = asyncio.create_task(consume())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (record,) = records(path)
    assert (record.status, texts(record)) == ("cancelled", ["a "])


async def test_a_cancelled_chat_call_keeps_its_question(handler: PromptLayerCallbackHandler, path: Path) -> None:
    begun = asyncio.Event()
    task = asyncio.create_task(StuckChat(begun=begun).ainvoke("hi", {"callbacks": [handler]}))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # LangChain does not report the end of such a call.
    (record,) = records(path)
    assert record.status == "cancelled"
    assert record.input[0]["content"] == "hi"
