"""What replaces the methods of a text model."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from langchain_core.language_models.llms import BaseLLM
from langchain_core.outputs import GenerationChunk, LLMResult

from plsync.replay.proxy import live
from plsync.replay.proxy.capture import Take
from plsync.replay.proxy.intercept import Ask
from plsync.replay.response.response import Answer

__all__ = ["text_methods"]


def text_methods(live: type[BaseLLM]) -> dict[str, Callable[..., Any]]:
    """The methods for a class of text models: no more than it has, since LangChain asks a class what it can do.

    A class that has only ``_call`` has LangChain's ``_generate`` around it, which is replaced.
    """
    streams = live._stream is not BaseLLM._stream
    has: dict[str, tuple[Callable[..., Any], bool]] = {
        "_generate": (_generate, True),
        "_agenerate": (_agenerate, True),
        "_stream": (_stream, streams),
        "_astream": (_astream, streams or live._astream is not BaseLLM._astream),
    }
    return {name: method for name, (method, wanted) in has.items() if wanted}


def _generate(
    self: Any, prompts: list[str], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
) -> LLMResult:
    asks = [Ask(self, prompt, stop, kwargs) for prompt in prompts]
    answers = [ask.recorded(whole=True) for ask in asks]
    for ask, answer in zip(asks, answers, strict=True):
        if answer:
            ask.tell(answer, run_manager)
    if missing := _missing(asks, answers):
        with missing[0].live() as (model, take):
            takes = _takes(take, missing)
            with _failing_alike(takes):
                made: LLMResult = live.call(
                    take, model._generate, _prompts(missing), stop=stop, run_manager=run_manager, **kwargs
                )
            _returned(takes, made)
    else:
        made = LLMResult(generations=[])
    return _joined(answers, made)


async def _agenerate(
    self: Any, prompts: list[str], stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
) -> LLMResult:
    asks = [Ask(self, prompt, stop, kwargs) for prompt in prompts]
    answers = [ask.recorded(whole=True) for ask in asks]
    for ask, answer in zip(asks, answers, strict=True):
        if answer:
            await ask.atell(answer, run_manager)
    if missing := _missing(asks, answers):
        async with missing[0].alive() as (model, take):
            takes = _takes(take, missing)
            with _failing_alike(takes):
                made: LLMResult = await live.acall(
                    take, model._agenerate, _prompts(missing), stop=stop, run_manager=run_manager, **kwargs
                )
            _returned(takes, made)
    else:
        made = LLMResult(generations=[])
    return _joined(answers, made)


def _stream(
    self: Any, prompt: str, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
) -> Iterator[GenerationChunk]:
    ask = Ask(self, prompt, stop, kwargs)
    if answer := ask.recorded(whole=False):
        yield from ask.serve(answer, answer.text_chunks(), run_manager)
        return
    with ask.live() as (model, take):
        yield from live.stream(take, model._stream, prompt, stop=stop, run_manager=run_manager, **kwargs)


async def _astream(
    self: Any, prompt: str, stop: list[str] | None = None, run_manager: Any = None, **kwargs: Any
) -> AsyncIterator[GenerationChunk]:
    ask = Ask(self, prompt, stop, kwargs)
    if answer := ask.recorded(whole=False):
        async for chunk in ask.aserve(answer, answer.text_chunks(), run_manager):
            yield chunk
        return
    async with ask.alive() as (model, take):
        chunks = live.astream(take, model._astream, prompt, stop=stop, run_manager=run_manager, **kwargs)
        async with contextlib.aclosing(chunks):
            async for chunk in chunks:
                yield chunk


def _missing(asks: Sequence[Ask], answers: Sequence[Answer | None]) -> list[Ask]:
    return [ask for ask, answer in zip(asks, answers, strict=True) if answer is None]


def _prompts(asks: Sequence[Ask]) -> list[str]:
    return [ask.given for ask in asks]


def _takes(take: Take, asks: Sequence[Ask]) -> list[Take]:
    """One for each prompt of a call."""
    return [take, *(take.beside(ask.request) for ask in asks[1:])]


@contextlib.contextmanager
def _failing_alike(takes: Sequence[Take]) -> Iterator[None]:
    """Record the exception of the first with the others too: nobody knows whose prompt it was."""
    try:
        yield
    except Exception as error:
        for take in takes[1:]:
            take.raised(error)
        raise


def _returned(takes: Sequence[Take], result: LLMResult) -> None:
    """Record one call a prompt. What was said about all of them goes to the first, as LangChain has it."""
    outputs = [result.llm_output, *({} for _ in takes[1:])]
    for take, generations, output in zip(takes, result.generations, outputs, strict=True):
        take.returned(generations, output)


def _joined(answers: Sequence[Answer | None], made: LLMResult) -> LLMResult:
    """Recorded and new answers in the order of their prompts."""
    new = iter(made.generations)
    generations = [next(new) if answer is None else answer.generations() for answer in answers]
    outputs = [made.llm_output, *(answer.llm_output() for answer in answers if answer)]
    output = next((output for output in outputs if output), outputs[-1])
    return LLMResult(generations=generations, llm_output=output)
