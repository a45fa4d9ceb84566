"""What replaces the methods of a chat model."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from plsync.replay.proxy import live
from plsync.replay.proxy.capture import Take
from plsync.replay.proxy.intercept import Ask
from plsync.replay.response.stream_events import achunks_to_events, chunks_to_events, run_message_id

__all__ = ["chat_methods"]

Messages = list[BaseMessage]
_EVENTS = "_stream_chat_model_events"
_AEVENTS = "_astream_chat_model_events"


def chat_methods(live: type[BaseChatModel]) -> dict[str, Callable[..., Any]]:
    """The methods for a class of chat models: no more than it has, since LangChain asks a class what it can do."""
    streams = live._stream is not BaseChatModel._stream
    astreams = live._astream is not BaseChatModel._astream or streams
    bridged = chunks_to_events is not None
    has = {
        "_generate": (_generate, True),
        "_agenerate": (_agenerate, True),
        "_stream": (_stream, streams),
        "_astream": (_astream, astreams),
        _EVENTS: (_stream_events, hasattr(live, _EVENTS) or (streams and bridged)),
        _AEVENTS: (_astream_events, hasattr(live, _AEVENTS) or (astreams and bridged)),
    }
    return {name: method for name, (method, wanted) in has.items() if wanted}


def _generate(
    self: Any, messages: Messages, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
) -> ChatResult:
    ask = Ask(self, messages, stop, kwargs)
    if answer := ask.recorded(whole=True):
        ask.tell(answer, run_manager)
        return answer.chat_result()
    with ask.live() as (model, take):
        result: ChatResult = live.call(take, model._generate, messages, stop=stop, run_manager=run_manager, **kwargs)
        _returned(take, result, run_manager)
    return result


async def _agenerate(
    self: Any, messages: Messages, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
) -> ChatResult:
    ask = Ask(self, messages, stop, kwargs)
    if answer := ask.recorded(whole=True):
        await ask.atell(answer, run_manager)
        return answer.chat_result()
    async with ask.alive() as (model, take):
        asked = live.acall(take, model._agenerate, messages, stop=stop, run_manager=run_manager, **kwargs)
        result: ChatResult = await asked
        _returned(take, result, run_manager)
    return result


def _stream(
    self: Any, messages: Messages, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
) -> Iterator[ChatGenerationChunk]:
    ask = Ask(self, messages, stop, kwargs)
    if answer := ask.recorded(whole=False):
        yield from ask.serve(answer, answer.chat_chunks(ended=run_manager is None), run_manager)
        return
    with ask.live() as (model, take):
        yield from live.stream(take, model._stream, messages, stop=stop, run_manager=run_manager, **kwargs)


async def _astream(
    self: Any, messages: Messages, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
) -> AsyncIterator[ChatGenerationChunk]:
    ask = Ask(self, messages, stop, kwargs)
    if answer := ask.recorded(whole=False):
        async for chunk in ask.aserve(answer, answer.chat_chunks(ended=run_manager is None), run_manager):
            yield chunk
        return
    async with ask.alive() as (model, take):
        chunks = live.astream(take, model._astream, messages, stop=stop, run_manager=run_manager, **kwargs)
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                yield chunk


def _stream_events(
    self: Any, messages: Messages, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
) -> Iterator[Any]:
    ask = Ask(self, messages, stop, kwargs)
    if answer := ask.recorded(whole=False):
        if (events := answer.events) is not None:
            yield from ask.serve(answer, events)
        else:
            chunks = ask.serve(answer, answer.chat_chunks(), run_manager)
            yield from chunks_to_events(chunks, answer.message_id or run_message_id(run_manager))
        return
    with ask.live() as (model, take):
        native = getattr(model, _EVENTS, None)
        asked = (take, native or model._stream, messages)
        parts = live.stream(*asked, stop=stop, run_manager=run_manager, **kwargs)
        yield from parts if native else chunks_to_events(parts, run_message_id(run_manager))


async def _astream_events(
    self: Any, messages: Messages, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
) -> AsyncIterator[Any]:
    ask = Ask(self, messages, stop, kwargs)
    if answer := ask.recorded(whole=False):
        if (events := answer.events) is not None:
            parts = ask.aserve(answer, events)
        else:
            chunks = ask.aserve(answer, answer.chat_chunks(), run_manager)
            parts = achunks_to_events(chunks, answer.message_id or run_message_id(run_manager))
        async for event in parts:
            yield event
        return
    async with ask.alive() as (model, take):
        native = getattr(model, _AEVENTS, None)
        asked = (take, native or model._astream, messages)
        chunks = live.astream(*asked, stop=stop, run_manager=run_manager, **kwargs)
        async with contextlib.aclosing(chunks):
            async for event in chunks if native else achunks_to_events(chunks, run_message_id(run_manager)):
                yield event


def _returned(take: Take, result: ChatResult, run_manager: Any) -> None:
    """Record the answer with the ids LangChain is about to give its messages."""
    run = run_message_id(run_manager)
    for number, generation in enumerate(result.generations):
        if run is not None and generation.message.id is None:
            generation.message.id = f"{run}-{number}"
    take.returned(result.generations, result.llm_output)
