"""Retrievers and tools are recorded and served like models, if the program passes them to ``with_recording``."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain_core.documents import Document
from langchain_core.messages import AIMessage, ToolCall, ToolMessage
from langchain_core.retrievers import BaseRetriever
from langchain_core.tools import BaseTool, InjectedToolCallId, ToolException, tool
from langchain_core.vectorstores import InMemoryVectorStore

from plsync.errors import NoRecording
from plsync.replay import Recording, with_recording
from tests.support.embeddings import Plain
from tests.support.models import Chat
from tests.support.replaying import lines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


class Notes(BaseRetriever):
    calls: list[str]

    # As many retrievers are written: without the callback manager.
    def _get_relevant_documents(self, query: str) -> list[Document]:  # type: ignore[override]
        self.calls.append(query)
        return [Document(f"about {query}", metadata={"source": "notes", "page": 3, "score": 0.5}, id="n-1")]


class Limited(BaseRetriever):
    """Takes an argument of the call, and the callback manager."""

    def _get_relevant_documents(self, query: str, *, run_manager: Any, limit: int = 1) -> list[Document]:
        return [Document(query)] * limit

    async def _aget_relevant_documents(self, query: str, *, run_manager: Any, limit: int = 1) -> list[Document]:
        return [Document(f"async {query}")] * limit


def test_documents_come_back_equal(path: Path) -> None:
    live = with_recording(Notes(calls=[]), path, mode="once").invoke("cats")
    dead = Notes(calls=[])
    replayed = with_recording(dead, path)
    assert replayed.invoke("cats") == live
    assert isinstance(live[0], Document)
    assert asyncio.run(with_recording(dead, path).ainvoke("cats")) == live
    assert dead.calls == []
    with pytest.raises(NoRecording, match=r"-input\.query: cats"):
        with_recording(dead, path).invoke("dogs")


def test_arguments_of_a_retriever_reach_it(path: Path) -> None:
    recorded = with_recording(Limited(), path, mode="once")
    assert len(recorded.invoke("cats", limit=2)) == 2
    assert asyncio.run(recorded.ainvoke("dogs"))[0].page_content == "async dogs"
    assert len(with_recording(Limited(), path).invoke("cats", limit=2)) == 2


def test_a_retriever_of_a_vector_store_is_recorded_whole(path: Path) -> None:
    def retriever() -> BaseRetriever:
        store = InMemoryVectorStore(Plain())
        store.add_texts(["A cat has 4 legs."])
        return store.as_retriever()

    live = with_recording(retriever(), path, mode="once").invoke("legs")
    assert [line["kind"] for line in lines(path)] == ["retriever"]
    assert with_recording(InMemoryVectorStore(Plain()).as_retriever(), path).invoke("legs") == live


@tool
def weather(city: str, days: int = 1) -> dict[str, Any]:
    """The weather in a city."""
    if city == "Atlantis":
        raise ToolException("no such city")
    return {"city": city, "degrees": [21] * days}


def dead_weather() -> BaseTool:
    def fail(city: str, days: int = 1) -> None:
        raise AssertionError("a live call")

    return weather.model_copy(update={"func": fail})


def test_a_tool_is_served_with_equal_results_and_errors(path: Path) -> None:
    call = ToolCall(name="weather", args={"city": "Paris"}, id="call-7", type="tool_call")

    def run(found: BaseTool) -> list[Any]:
        with pytest.raises(ToolException, match="no such city"):
            found.invoke({"city": "Atlantis"})
        message: ToolMessage = found.invoke(call)
        return [found.invoke({"city": "Paris", "days": 2}), asyncio.run(found.ainvoke("Rome")), message.content]

    live = run(with_recording(weather, path, mode="once"))
    assert lines(path)[0]["request"] == {"input": {"tool": "weather", "arguments": {"city": "Atlantis", "days": 1}}}
    replayed = with_recording(dead_weather(), path)
    assert run(replayed) == live
    assert replayed.args == weather.args
    with pytest.raises(NoRecording):
        replayed.invoke({"city": "Oslo"})


def test_injected_arguments_are_not_compared(path: Path) -> None:
    @tool
    def note(text: str, tool_call_id: Annotated[str, InjectedToolCallId]) -> str:
        """Keep a note."""
        return f"kept {text}"

    def call(number: int) -> Any:
        return ToolCall(name="note", args={"text": "milk"}, id=f"call-{number}", type="tool_call")

    live = with_recording(note, path, mode="once").invoke(call(1)).content
    assert with_recording(note, path).invoke(call(2)).content == live


def test_an_agent_runs_with_a_recorded_tool(path: Path) -> None:
    answers = [
        AIMessage("", tool_calls=[ToolCall(name="weather", args={"city": "Paris"}, id="call-1", type="tool_call")]),
        AIMessage("21 degrees"),
    ]

    class Scripted(Chat):
        def _generate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
            found = super()._generate(messages, *args, **kwargs)
            found.generations[0].message = answers[sum(one.type == "ai" for one in messages)]
            return found

        def bind_tools(self, tools: Any, **kwargs: Any) -> Any:
            return self.bind(tools=[])

    def run(recording: Recording, found: BaseTool) -> list[str]:
        agent: Any = create_agent(Scripted(), [with_recording(found, recording)])
        return [str(one.content) for one in agent.invoke({"messages": [("user", "How warm?")]})["messages"]]

    with Recording(path, "once") as recording:
        live = run(recording, weather)
    with Recording(path) as recording:
        assert run(recording, dead_weather()) == live
        assert (recording.counts.replayed, recording.unused()) == (1, [])
