"""The agent that recorders are measured with: three calls and two uses of a tool, after a history of 20 messages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool

__all__ = ["TURNS", "forecast", "question"]

TURNS = 3
_SENTENCE = "The station has measured four degrees, light rain and a westerly wind since the morning. " * 5
_HISTORY: list[BaseMessage] = [
    HumanMessage(_SENTENCE) if number % 2 == 0 else AIMessage(_SENTENCE) for number in range(20)
]


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


def forecast() -> Any:
    """An agent whose model costs no time."""
    return create_agent(Turns(), [temperature], name="forecast")


def question() -> dict[str, Any]:
    """Its input."""
    return {"messages": [*_HISTORY, HumanMessage("How warm is Paris?")]}
