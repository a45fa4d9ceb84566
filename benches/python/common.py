"""Shared by the benches: a model without cost, two conversations, timing in rounds, and the PromptLayer stand-in."""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import langchain_core
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_core.messages.ai import UsageMetadata
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

from plsync.testing.server import DEFAULT_API_KEY

TOKENS = 100

SMALL: list[BaseMessage] = [HumanMessage("What is the capital of France?")]
"""One message of 30 bytes."""

BIG: list[BaseMessage] = [
    SystemMessage("s" * 400),
    *(message for i in range(5) for message in (HumanMessage(f"{i} " + "q" * 700), AIMessage("a" * 820))),
]
"""Eleven messages, 8 KB together."""


class FixedChat(BaseChatModel):
    """Answers at once, so that a measurement has only the framework and the handler in it."""

    @property
    def _llm_type(self) -> str:
        return "fixed"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        usage: UsageMetadata = {"input_tokens": 7, "output_tokens": 1, "total_tokens": 8}
        answer = AIMessage("Paris", usage_metadata=usage, response_metadata={"model_name": "fixed"})
        return ChatResult(generations=[ChatGeneration(message=answer)])

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for _ in range(TOKENS):
            yield ChatGenerationChunk(message=AIMessageChunk(content="token "))


def machine() -> str:
    """The versions and the number of cores that stand above a table."""
    return f"Python {platform.python_version()}, langchain-core {langchain_core.__version__}, {os.cpu_count()} cores"


def round_medians(works: Mapping[str, Callable[[], Any]], calls: int, size: int) -> list[dict[str, float]]:
    """Time several works in turn, so that noise of the machine hits all of them alike.

    Args:
        works: the works by name.
        calls: how often each work is called, the warm-up not counted.
        size: calls of one work in a round, before the next work has its turn.

    Returns:
        For each round, the median microseconds of a call by the name of the work.
    """
    for work in works.values():
        for _ in range(size):
            work()
    return [{name: _median(work, size) for name, work in works.items()} for _ in range(max(1, calls // size))]


def _median(work: Callable[[], Any], size: int) -> float:
    samples = []
    for _ in range(size):
        begin = time.perf_counter_ns()
        work()
        samples.append(time.perf_counter_ns() - begin)
    return statistics.median(samples) / 1000


@contextlib.contextmanager
def stand_in(*options: str) -> Iterator[str]:
    """Run the PromptLayer stand-in in its own process, so that it takes no time from the measured one.

    Yields:
        Its URL. Its key is ``plsync.testing.server.DEFAULT_API_KEY``.
    """
    command = [sys.executable, "-m", "plsync.testing", "--api-key", DEFAULT_API_KEY, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip().partition("=")[2]
        finally:
            process.kill()
