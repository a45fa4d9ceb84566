"""The methods that replace methods of a text model in its proxy class."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from typing import Any

from langchain_core.language_models.llms import BaseLLM
from langchain_core.outputs import GenerationChunk, LLMResult

from plsync.replay.proxy import live
from plsync.replay.proxy.capture import CallCapture, shared_error
from plsync.replay.proxy.intercept import InterceptedCall
from plsync.replay.proxy.token_counts import token_methods

__all__ = ["text_methods"]


def text_methods(live_class: type[BaseLLM]) -> dict[str, Callable[..., Any]]:
    """The methods for a class of text models, by name.

    A method that the class lacks is left out: LangChain derives the abilities of a model from the methods of its class.
    A class that defines only ``_call`` inherits LangChain's ``_generate``, which is replaced.
    """
    streams = live_class._stream is not BaseLLM._stream
    methods: dict[str, tuple[Callable[..., Any], bool]] = {
        "_generate": (_generate, True),
        "_agenerate": (_agenerate, True),
        "_stream": (_stream, streams),
        "_astream": (_astream, streams or live_class._astream is not BaseLLM._astream),
    }
    needed = {name: method for name, (method, is_needed) in methods.items() if is_needed}
    return needed | token_methods(live_class)


def _generate(
    self: Any, prompts: list[str], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
) -> LLMResult:
    __tracebackhide__ = True
    batch = _Batch(self, prompts, stop, kwargs, run_manager)
    for intercepted, response in batch.recorded:
        intercepted.replay(response, run_manager)
    if not batch.missing:
        return batch.result(LLMResult(generations=[]))
    with batch.missing[0].record() as (model, capture):
        captures = batch.captures(capture)
        with shared_error(captures):
            result: LLMResult = live.call(
                capture, model._generate, batch.missing_prompts, stop=stop, run_manager=run_manager, **kwargs
            )
        _finish(captures, result)
    return batch.result(result)


async def _agenerate(
    self: Any, prompts: list[str], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
) -> LLMResult:
    __tracebackhide__ = True
    batch = _Batch(self, prompts, stop, kwargs, run_manager, can_wait=True)
    for intercepted, response in batch.recorded:
        await intercepted.areplay(response, run_manager)
    if not batch.missing:
        return batch.result(LLMResult(generations=[]))
    async with batch.missing[0].arecord() as (model, capture):
        captures = batch.captures(capture)
        with shared_error(captures):
            result: LLMResult = await live.acall(
                capture, model._agenerate, batch.missing_prompts, stop=stop, run_manager=run_manager, **kwargs
            )
        _finish(captures, result)
    return batch.result(result)


def _stream(
    self: Any, prompt: str, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
) -> Iterator[GenerationChunk]:
    __tracebackhide__ = True
    intercepted = InterceptedCall(self, prompt, stop, kwargs, run_manager)
    if response := intercepted.find_response(whole=False):
        yield from intercepted.replay_stream(response, response.text_chunks(), run_manager)
        return
    with intercepted.record() as (model, capture):
        yield from live.stream(capture, model._stream, prompt, stop=stop, run_manager=run_manager, **kwargs)


async def _astream(
    self: Any, prompt: str, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
) -> AsyncIterator[GenerationChunk]:
    __tracebackhide__ = True
    intercepted = InterceptedCall(self, prompt, stop, kwargs, run_manager)
    if response := intercepted.find_response(whole=False, can_wait=True):
        async for chunk in intercepted.areplay_stream(response, response.text_chunks(), run_manager):
            yield chunk
        return
    async with intercepted.arecord() as (model, capture):
        chunks = live.astream(capture, model._astream, prompt, stop=stop, run_manager=run_manager, **kwargs)
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                yield chunk


class _Batch:
    """The prompts of one call: the recorded ones are served, and the missing ones go to the live model together."""

    def __init__(
        self,
        model: Any,
        prompts: Sequence[str],
        stop: Sequence[str] | None,
        options: Mapping[str, Any],
        manager: Any,
        *,
        can_wait: bool = False,
    ) -> None:
        calls = [InterceptedCall(model, prompt, stop, options, manager) for prompt in prompts]
        self._responses = [call.find_response(whole=True, can_wait=can_wait) for call in calls]
        found = list(zip(calls, self._responses, strict=True))
        self.recorded = [(call, response) for call, response in found if response is not None]
        self.missing = [call for call, response in found if response is None]

    @property
    def missing_prompts(self) -> list[str]:
        """The prompts without a recorded response."""
        return [call.model_input for call in self.missing]

    def captures(self, first: CallCapture) -> list[CallCapture]:
        """One capture for each missing prompt."""
        return [first, *(first.for_prompt(call.request) for call in self.missing[1:])]

    def result(self, live_result: LLMResult) -> LLMResult:
        """Recorded and live responses in the order of the prompts."""
        new = iter(live_result.generations)
        responses = self._responses
        generations = [next(new) if response is None else response.generations() for response in responses]
        outputs = [live_result.llm_output, *(response.llm_output() for response in responses if response)]
        output = next((output for output in outputs if output), outputs[-1])
        return LLMResult(generations=generations, llm_output=output)


def _finish(captures: Sequence[CallCapture], result: LLMResult) -> None:
    """Write one call for each prompt. Metadata of the whole call goes to the first, where LangChain has it too."""
    outputs = [result.llm_output, *({} for _ in captures[1:])]
    for capture, generations, output in zip(captures, result.generations, outputs, strict=True):
        capture.finish_whole(generations, output)
