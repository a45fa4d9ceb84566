"""Streams of events of versions 3 and 2, recorded and replayed."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGenerationChunk

from plsync.errors import NoRecording
from tests.support.models import Chat, StreamingChat
from tests.support.replaying import lines, recorded, replayed

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*in beta"),
    pytest.mark.skipif(not hasattr(BaseChatModel, "_chat_model_stream_v3"), reason="langchain-core has no v3 yet"),
]


class ToolChat(Chat):
    """Streams reasoning, text and a tool call, and has the provider's id for the message."""

    def _stream(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: Any = None, **kwargs: Any
    ) -> Iterator[ChatGenerationChunk]:
        call = {"name": "weather", "args": '{"city": "Paris"}', "id": "c1", "index": 2}
        usage: UsageMetadata = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}
        for message in (
            AIMessageChunk(content=[{"type": "reasoning", "reasoning": "hm", "index": 0}], id="msg-1"),
            AIMessageChunk(content=[{"type": "text", "text": "Pa", "index": 1}], id="msg-1"),
            AIMessageChunk(content=[{"type": "text", "text": "ris", "index": 1}], id="msg-1"),
            AIMessageChunk(content="", tool_call_chunks=[call], id="msg-1"),
            AIMessageChunk(content="", usage_metadata=usage, id="msg-1"),
        ):
            chunk = ChatGenerationChunk(message=message)
            if run_manager:
                run_manager.on_llm_new_token(chunk.text, chunk=chunk)
            yield chunk


class EventChat(Chat):
    """Streams native events, like integrations for version 3."""

    def _events(self) -> Iterator[dict[str, Any]]:
        yield {"event": "message-start", "role": "ai", "id": "own-1"}
        yield {"event": "content-block-start", "index": 0, "content": {"type": "text", "text": ""}}
        for word in ("Pa", "ris"):
            yield {"event": "content-block-delta", "index": 0, "delta": {"type": "text-delta", "text": word}}
        yield {"event": "content-block-finish", "index": 0, "content": {"type": "text", "text": "Paris"}}
        yield {"event": "message-finish"}

    def _stream_chat_model_events(self, messages: list[BaseMessage], **kwargs: Any) -> Iterator[dict[str, Any]]:
        yield from self._events()

    async def _astream_chat_model_events(
        self, messages: list[BaseMessage], **kwargs: Any
    ) -> AsyncIterator[dict[str, Any]]:
        for event in self._events():
            yield event


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


def streamed(model: Any) -> tuple[list[Any], Any]:
    stream = model.stream_events("Where?", version="v3")
    return list(stream), stream.output


async def astreamed(model: Any) -> tuple[list[Any], Any]:
    stream = await model.astream_events("Where?", version="v3")
    return [event async for event in stream], await stream.output


@pytest.mark.parametrize("model", [ToolChat(), StreamingChat(), EventChat()], ids=lambda model: type(model).__name__)
def test_events_and_their_message_come_back_the_same(model: Any, path: Path) -> None:
    events, output = streamed(recorded(model, path))
    assert len(events) > 4
    assert streamed(replayed(model, path)) == (events, output)


@pytest.mark.parametrize("model", [ToolChat(), StreamingChat(), EventChat()], ids=lambda model: type(model).__name__)
async def test_async_events_and_their_message_come_back_the_same(model: Any, path: Path) -> None:
    events, output = await astreamed(recorded(model, path))
    assert len(events) > 4
    assert await astreamed(replayed(model, path)) == (events, output)


def test_a_recorded_model_streams_the_events_it_streamed_before(path: Path) -> None:
    def without_ids(events: list[Any]) -> list[Any]:
        return [{name: value for name, value in event.items() if name != "id"} for event in events]

    bare, _ = streamed(ToolChat())
    ours, _ = streamed(recorded(ToolChat(), path))
    assert without_ids(ours) == without_ids(bare)


@pytest.mark.parametrize("model", [ToolChat(), EventChat()], ids=lambda model: type(model).__name__)
def test_events_and_other_kinds_of_calls_serve_each_other(model: Any, path: Path) -> None:
    text = model.invoke("Where?").text if isinstance(model, StreamingChat) else "Paris"
    _, output = streamed(recorded(model, path))
    assert replayed(model, path).invoke("Where?").text == text
    assert "".join(chunk.text for chunk in replayed(model, path).stream("Where?")) == text
    assert replayed(model, path).invoke("Where?").tool_calls == output.tool_calls
    path.unlink()
    list(recorded(ToolChat(), path).stream("Where?"))
    assert streamed(replayed(ToolChat(), path))[1].text == "Paris"
    path.unlink()
    recorded(EventChat(), path).invoke("Where?")
    assert streamed(replayed(EventChat(), path))[1].text == "yes"


def test_callbacks_receive_the_recorded_events(path: Path) -> None:
    class Listener(BaseCallbackHandler):
        def __init__(self) -> None:
            self.received: list[Any] = []

        def on_llm_new_token(self, token: Any, *, chunk: Any = None, **kwargs: Any) -> None:
            self.received.append((token, chunk))

        def on_stream_event(self, event: Any, **kwargs: Any) -> None:
            self.received.append(event)

        def on_llm_end(self, response: Any, **kwargs: Any) -> None:
            self.received.append(response.generations)

    for model in (ToolChat(), StreamingChat()):
        path.unlink(missing_ok=True)
        live, replay = Listener(), Listener()
        list(recorded(model, path).stream_events("Where?", {"callbacks": [live]}, version="v3"))
        list(replayed(model, path).stream_events("Where?", {"callbacks": [replay]}, version="v3"))
        assert replay.received == live.received


def test_an_error_in_the_stream_comes_back(path: Path) -> None:
    model = StreamingChat(fails=ConnectionError("gone"))
    for one in (recorded(model, path), replayed(model, path)):
        stream = one.stream_events("Where?", version="v3")
        with pytest.raises(ConnectionError, match="gone"):
            list(stream)


def test_the_stream_raises_a_mismatch(path: Path) -> None:
    stream = replayed(ToolChat(), path).stream_events("Where?", version="v3")
    with pytest.raises(NoRecording):
        list(stream)


def test_a_stream_of_events_is_recorded_once(path: Path) -> None:
    streamed(recorded(ToolChat(), path))
    assert len(lines(path)) == 1


async def test_events_of_version_2_come_back_the_same(path: Path) -> None:
    async def events(model: BaseChatModel) -> list[Any]:
        found = [event async for event in model.astream_events("Where?", version="v2")]
        return [(event["event"], event["data"].get("chunk"), event["data"].get("output")) for event in found]

    for model in (ToolChat(), StreamingChat()):
        path.unlink(missing_ok=True)
        first = await events(recorded(model, path))
        assert [name for name, *_ in first].count("on_chat_model_stream") > 2
        again = await events(replayed(model, path))
        assert [name for name, *_ in again] == [name for name, *_ in first]
        # LangChain adds a last chunk to the stream of ToolChat, with the id of the run.
        chunks, others = ([chunk for _, chunk, _ in found if chunk is not None] for found in (first, again))
        assert others[:-1] == chunks[:-1]
        assert others[-1].model_copy(update={"id": chunks[-1].id}) == chunks[-1]
        assert again[-1][2].content == first[-1][2].content
