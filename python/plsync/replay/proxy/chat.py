"""The methods that replace methods of a chat model in its proxy class."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult

from plsync.replay.proxy import live
from plsync.replay.proxy.capture import CallCapture
from plsync.replay.proxy.intercept import InterceptedCall
from plsync.replay.proxy.token_counts import token_methods
from plsync.replay.response.stream_events import achunks_to_events, chunks_to_events, run_message_id

__all__ = ["chat_methods"]

Messages = list[BaseMessage]
_EVENTS = "_stream_chat_model_events"
_AEVENTS = "_astream_chat_model_events"


def chat_methods(live_class: type[BaseChatModel]) -> dict[str, Callable[..., Any]]:
    """The methods for a class of chat models, by name.

    A method that the class lacks is left out: LangChain derives the abilities of a model from the methods of its class.
    """
    streams = live_class._stream is not BaseChatModel._stream
    astreams = live_class._astream is not BaseChatModel._astream or streams
    builds_events = chunks_to_events is not None
    methods = {
        "_generate": (_generate, True),
        "_agenerate": (_agenerate, True),
        "_stream": (_stream, streams),
        "_astream": (_astream, astreams),
        _EVENTS: (_stream_events, hasattr(live_class, _EVENTS) or (streams and builds_events)),
        _AEVENTS: (_astream_events, hasattr(live_class, _AEVENTS) or (astreams and builds_events)),
    }
    needed = {name: method for name, (method, is_needed) in methods.items() if is_needed}
    return needed | token_methods(live_class)


def _generate(
    self: Any, messages: Messages, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
) -> ChatResult:
    __tracebackhide__ = True
    intercepted = InterceptedCall(self, messages, stop, kwargs, run_manager)
    if response := intercepted.find_response(whole=True):
        intercepted.replay(response, run_manager)
        return response.chat_result()
    with intercepted.record() as (model, capture):
        result: ChatResult = live.call(capture, model._generate, messages, stop=stop, run_manager=run_manager, **kwargs)
        _finish(capture, result, run_manager)
    return result


async def _agenerate(
    self: Any, messages: Messages, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
) -> ChatResult:
    __tracebackhide__ = True
    intercepted = InterceptedCall(self, messages, stop, kwargs, run_manager)
    if response := intercepted.find_response(whole=True, can_wait=True):
        await intercepted.areplay(response, run_manager)
        return response.chat_result()
    async with intercepted.arecord() as (model, capture):
        result: ChatResult = await live.acall(
            capture, model._agenerate, messages, stop=stop, run_manager=run_manager, **kwargs
        )
        _finish(capture, result, run_manager)
    return result


def _stream(
    self: Any, messages: Messages, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
) -> Iterator[ChatGenerationChunk]:
    __tracebackhide__ = True
    intercepted = InterceptedCall(self, messages, stop, kwargs, run_manager)
    if response := intercepted.find_response(whole=False):
        chunks = response.chat_chunks(with_last=run_manager is None)
        yield from intercepted.replay_stream(response, chunks, run_manager)
        return
    with intercepted.record() as (model, capture):
        yield from live.stream(capture, model._stream, messages, stop=stop, run_manager=run_manager, **kwargs)


async def _astream(
    self: Any, messages: Messages, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
) -> AsyncIterator[ChatGenerationChunk]:
    __tracebackhide__ = True
    intercepted = InterceptedCall(self, messages, stop, kwargs, run_manager)
    if response := intercepted.find_response(whole=False, can_wait=True):
        recorded = response.chat_chunks(with_last=run_manager is None)
        async for chunk in intercepted.areplay_stream(response, recorded, run_manager):
            yield chunk
        return
    async with intercepted.arecord() as (model, capture):
        chunks = live.astream(capture, model._astream, messages, stop=stop, run_manager=run_manager, **kwargs)
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                yield chunk


def _stream_events(
    self: Any, messages: Messages, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
) -> Iterator[Any]:
    __tracebackhide__ = True
    intercepted = InterceptedCall(self, messages, stop, kwargs, run_manager)
    if response := intercepted.find_response(whole=False):
        if (events := response.events) is not None:
            yield from intercepted.replay_stream(response, events)
        else:
            chunks = intercepted.replay_stream(response, response.chat_chunks(), run_manager)
            yield from chunks_to_events(chunks, response.message_id or run_message_id(run_manager))
        return
    with intercepted.record() as (model, capture):
        native = getattr(model, _EVENTS, None)
        method = native or model._stream
        parts = live.stream(capture, method, messages, stop=stop, run_manager=run_manager, **kwargs)
        yield from parts if native else chunks_to_events(parts, run_message_id(run_manager))


async def _astream_events(
    self: Any, messages: Messages, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
) -> AsyncIterator[Any]:
    __tracebackhide__ = True
    intercepted = InterceptedCall(self, messages, stop, kwargs, run_manager)
    if response := intercepted.find_response(whole=False, can_wait=True):
        if (events := response.events) is not None:
            parts = intercepted.areplay_stream(response, events)
        else:
            recorded = intercepted.areplay_stream(response, response.chat_chunks(), run_manager)
            parts = achunks_to_events(recorded, response.message_id or run_message_id(run_manager))
        async for event in parts:
            yield event
        return
    async with intercepted.arecord() as (model, capture):
        native = getattr(model, _AEVENTS, None)
        method = native or model._astream
        chunks = live.astream(capture, method, messages, stop=stop, run_manager=run_manager, **kwargs)
        async with contextlib.aclosing(chunks):
            async for event in chunks if native else achunks_to_events(chunks, run_message_id(run_manager)):
                yield event


def _finish(capture: CallCapture, result: ChatResult, run_manager: Any) -> None:
    """Capture the response with the ids that LangChain is about to assign to its messages."""
    run_id = run_message_id(run_manager)
    for number, generation in enumerate(result.generations):
        if run_id is not None and generation.message.id is None:
            generation.message.id = f"{run_id}-{number}"
    capture.finish_whole(result.generations, result.llm_output)
