"""The work that every recorder is measured with: models without cost, two conversations and an agent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from langchain_core.callbacks.base import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

__all__ = ["BIG", "Fixed", "works"]

TOKENS = 100

SMALL: list[BaseMessage] = [HumanMessage("What is the capital of France?")]
BIG: list[BaseMessage] = [
    SystemMessage("s" * 400),
    *(message for i in range(5) for message in (HumanMessage(f"{i} " + "q" * 700), AIMessage("a" * 820))),
]
"""Eleven messages, 8 KB together."""
Work = Callable[[BaseCallbackHandler], object]


class Fixed(BaseChatModel):
    """Answers at once."""

    @property
    def _llm_type(self) -> str:
        return "fixed"

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        answer = AIMessage("Paris", response_metadata={"model_name": "fixed"})
        return ChatResult(generations=[ChatGeneration(message=answer)])

    def _stream(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        for _ in range(TOKENS):
            yield ChatGenerationChunk(message=AIMessageChunk(content="token "))


def works() -> dict[str, Work]:
    """The works by name; each takes the handler."""
    from agent import forecast, question  # noqa: PLC0415 - slow, and only the costs need an agent

    model = Fixed()
    agent, request = forecast(), question()

    def stream(handler: BaseCallbackHandler) -> None:
        for _ in model.stream(SMALL, {"callbacks": [handler]}):
            pass

    return {
        "call": lambda handler: model.invoke(SMALL, {"callbacks": [handler]}),
        "call of 8 KB": lambda handler: model.invoke(BIG, {"callbacks": [handler]}),
        "token": stream,
        "agent": lambda handler: agent.invoke(request, {"callbacks": [handler]}),
    }
