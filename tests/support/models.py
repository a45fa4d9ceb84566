"""Models for tests of the handler: one behaviour each."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.llms import LLM
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from plsync import Journal, Record


def records(path: Path) -> list[Record]:
    """The records of a journal, oldest first."""
    with Journal.open(path) as journal:
        return list(journal.records(oldest_first=True))


def texts(record: Record) -> list[str]:
    """The answers of a record."""
    return [generation["text"] for generation in record.output]


class Chat(BaseChatModel):
    """Answers with the result of ``reply`` on the messages, or raises its exception."""

    reply: Callable[[list[BaseMessage]], AIMessage | list[AIMessage]] = lambda messages: AIMessage("yes")

    @property
    def _llm_type(self) -> str:
        return "chat"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        answers = self.reply(messages)
        several = answers if isinstance(answers, list) else [answers]
        return ChatResult(generations=[ChatGeneration(message=answer) for answer in several])


class StreamingChat(Chat):
    """Streams ``words``, then raises ``fails`` if there is one."""

    words: tuple[str, ...] = ("a ", "b ", "c")
    fails: Exception | None = None

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for word in self.words:
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))
        if self.fails is not None:
            raise self.fails


class StuckChat(Chat):
    """Never answers; sets ``begun`` when it is called."""

    begun: Any = None

    async def _agenerate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        self.begun.set()
        await asyncio.Event().wait()
        raise AssertionError


class SlowChat(Chat):
    """Waits until every call has begun, so that all calls are open at once."""

    meet: Any = None

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        meet: threading.Barrier = self.meet
        meet.wait(timeout=30)
        return super()._generate(messages, *args, **kwargs)


class CallbackLLM(LLM):
    """A text model that reports its tokens as GPT4All's does: as text, without a chunk, also in a plain call."""

    @property
    def _llm_type(self) -> str:
        return "callback"

    def _call(self, prompt: str, stop: Any = None, run_manager: Any = None, **kwargs: Any) -> str:
        for word in ("a ", "b"):
            run_manager.on_llm_new_token(word)
        return "a b"


class FailingLLM(LLM):
    """A text model that always raises."""

    @property
    def _llm_type(self) -> str:
        return "failing"

    def _call(self, prompt: str, *args: Any, **kwargs: Any) -> str:
        raise ValueError("out of order")
