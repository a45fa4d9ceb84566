"""The work that every recorder is measured with: models without cost, two conversations and an agent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from langchain_core.callbacks.base import BaseCallbackHandler
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, SystemMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
from langchain_core.tools import tool

__all__ = ["BIG", "Fixed", "works"]

TOKENS = 100
TURNS = 3

SMALL: list[BaseMessage] = [HumanMessage("What is the capital of France?")]
BIG: list[BaseMessage] = [
    SystemMessage("s" * 400),
    *(message for i in range(5) for message in (HumanMessage(f"{i} " + "q" * 700), AIMessage("a" * 820))),
]
"""Eleven messages, 8 KB together."""
_SENTENCE = "The station has measured four degrees, light rain and a westerly wind since the morning. " * 5
HISTORY: list[BaseMessage] = [HumanMessage(_SENTENCE) if i % 2 == 0 else AIMessage(_SENTENCE) for i in range(20)]

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


class Turns(BaseChatModel):
    """Uses the tool until the last turn."""

    @property
    def _llm_type(self) -> str:
        return "turns"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        used = sum(message.type == "tool" for message in messages)
        call = {"name": "temperature", "args": {"city": "Paris"}, "id": f"call_{used}", "type": "tool_call"}
        answer = AIMessage("", tool_calls=[call]) if used < TURNS - 1 else AIMessage("It is 4 degrees in Paris.")
        return ChatResult(generations=[ChatGeneration(message=answer)])


@tool
def temperature(city: str) -> str:
    """The temperature of a city."""
    return f"It is 4 degrees in {city}."


def works() -> dict[str, Work]:
    """The works by name; each takes the handler."""
    from langchain.agents import create_agent  # noqa: PLC0415 - slow, and only the costs need an agent

    model = Fixed()
    agent = create_agent(Turns(), [temperature], name="forecast")

    def stream(handler: BaseCallbackHandler) -> None:
        for _ in model.stream(SMALL, {"callbacks": [handler]}):
            pass

    question: Any = {"messages": [*HISTORY, HumanMessage("How warm is Paris?")]}
    return {
        "call": lambda handler: model.invoke(SMALL, {"callbacks": [handler]}),
        "call of 8 KB": lambda handler: model.invoke(BIG, {"callbacks": [handler]}),
        "token": stream,
        "agent": lambda handler: agent.invoke(question, {"callbacks": [handler]}),
    }
