"""LangGraph's agents, run whole from a recording."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AnyMessage, BaseMessage, HumanMessage
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from langgraph.graph.message import add_messages
from langgraph.types import RetryPolicy
from pydantic import BaseModel
from typing_extensions import TypedDict

from plsync import Journal, PromptLayerCallbackHandler
from plsync.errors import NoRecording
from plsync.replay import Recording, export, load, record_all, with_recording
from tests.support.models import Chat
from tests.support.openai_server import OpenAIServer
from tests.support.replaying import lines, poisoned, recorded, replayed

QUESTION: Any = {"messages": [HumanMessage("How warm is it in Paris?")]}


class Report(BaseModel):
    """A report."""

    city: str


def temperature(city: str) -> str:
    """The temperature in a city."""
    return f"21 degrees in {city}"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer("It is 21 degrees.") as server:
        yield server


@pytest.fixture
def live(server: OpenAIServer) -> ChatOpenAI:
    return ChatOpenAI(model="gpt-4o-mini", base_url=server.url, api_key="none", max_retries=0)


def agent(model: Any, **settings: Any) -> Any:
    return create_agent(model, [temperature], **settings)


def said(state: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """What was said, with the ids of what the model said; those of questions and results are drawn."""
    return [
        (message.type, message.content, (message.id, message.tool_calls) if isinstance(message, AIMessage) else None)
        for message in state["messages"]
    ]


def test_an_agent_runs_whole(path: Path, live: ChatOpenAI) -> None:
    first = said(agent(recorded(live, path)).invoke(QUESTION))
    assert [kind for kind, *_ in first] == ["human", "ai", "tool", "ai"]
    assert said(agent(replayed(live, path)).invoke(QUESTION)) == first


async def test_asynchronously_too(path: Path, live: ChatOpenAI) -> None:
    first = said(await agent(recorded(live, path)).ainvoke(QUESTION))
    assert len(first) == 4
    assert said(await agent(replayed(live, path)).ainvoke(QUESTION)) == first


@pytest.mark.parametrize("way", ["messages", "updates", "values"])
def test_a_streamed_run_comes_in_the_same_pieces(way: str, path: Path, live: ChatOpenAI) -> None:
    def pieces(model: Any) -> list[str]:
        return [str(_content(piece)) for piece in agent(model).stream(QUESTION, stream_mode=way)]

    first = pieces(recorded(live, path))
    assert len(first) >= 3
    assert pieces(replayed(live, path)) == first


def _content(piece: Any) -> Any:
    """A piece of a stream without what LangGraph draws anew."""
    if isinstance(piece, dict):
        return {name: _content(value) for name, value in piece.items()}
    if isinstance(piece, (list, tuple)):
        return [_content(item) for item in piece if not isinstance(item, dict) or "langgraph_step" not in item]
    return (piece.type, piece.content) if isinstance(piece, BaseMessage) else piece


def test_with_a_structured_answer(path: Path, live: ChatOpenAI) -> None:
    settings: dict[str, Any] = {"response_format": Report}
    first = agent(recorded(live, path), **settings).invoke(QUESTION)
    again = agent(replayed(live, path), **settings).invoke(QUESTION)
    assert isinstance(first["structured_response"], Report)
    assert again["structured_response"] == first["structured_response"]


def test_from_a_recording_alone(path: Path, live: ChatOpenAI) -> None:
    first = said(agent(recorded(live, path)).invoke(QUESTION))
    assert said(agent(load(path)).invoke(QUESTION)) == first


def test_a_structured_answer_from_a_recording_alone(path: Path, live: ChatOpenAI) -> None:
    first = agent(recorded(live, path), response_format=Report).invoke(QUESTION)
    again = agent(load(path), response_format=Report).invoke(QUESTION)
    assert isinstance(first["structured_response"], Report)
    assert again["structured_response"] == first["structured_response"]


def test_made_from_a_string(path: Path, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with record_all(path, mode="once"):
        first = said(agent("openai:gpt-4o-mini").invoke(QUESTION))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.delenv("OPENAI_API_KEY")
    with record_all(path) as replay:
        assert said(agent("openai:gpt-4o-mini").invoke(QUESTION)) == first
    assert (replay.counts.replayed, len(replay.unused())) == (2, 0)


def test_from_the_journal_of_the_field_and_its_export(path: Path, tmp_path: Path, live: ChatOpenAI) -> None:
    journal = tmp_path / "journal"
    handler = PromptLayerCallbackHandler(journal=journal)
    first = said(agent(live).invoke(QUESTION, {"callbacks": [handler]}))
    assert said(agent(with_recording(poisoned(live), journal)).invoke(QUESTION)) == first
    with Journal.open(journal) as opened:
        export(opened.records(oldest_first=True), path)
    assert said(agent(replayed(live, path)).invoke(QUESTION)) == first


def in_kelvin() -> Any:
    def temperature(city: str) -> str:
        """The temperature in a city."""
        return f"294 kelvin in {city}"

    return temperature


def test_a_tool_that_changed_is_a_miss_that_shows_it(path: Path, live: ChatOpenAI) -> None:
    agent(recorded(live, path)).invoke(QUESTION)
    with pytest.raises(NoRecording) as raised:
        create_agent(replayed(live, path), [in_kelvin()]).invoke(QUESTION)
    assert "-messages[2].content: 21 degrees in Paris" in str(raised.value)
    assert "+messages[2].content: 294 kelvin in Paris" in str(raised.value)


async def test_a_miss_ends_the_run_whatever_the_graph_retries(path: Path) -> None:
    def ask(state: State) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    async def ask_async(state: State) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    recording = Recording(path)
    model = with_recording(poisoned(Chat()), recording)
    for number, node in enumerate((ask, ask_async), 1):
        graph = StateGraph(State)
        graph.add_node("ask", node, retry_policy=RetryPolicy(max_attempts=3, initial_interval=0.01))
        graph.add_edge(START, "ask")
        with pytest.raises(NoRecording):
            await graph.compile().ainvoke(QUESTION)
        assert recording.counts.missed == number


class State(TypedDict):
    """The messages so far; LangGraph takes messages with the same id for one."""

    messages: Annotated[list[AnyMessage], add_messages]


def test_a_repeated_answer_stays_a_message_of_its_own_in_the_state(path: Path) -> None:
    recorded(Chat(), path).invoke("hi")
    model = replayed(Chat(), path, exhausted="repeat")

    def ask(state: State) -> dict[str, Any]:
        return {"messages": [model.invoke("hi")]}

    graph = StateGraph(State)
    graph.add_node("one", ask)
    graph.add_node("two", ask)
    graph.add_edge(START, "one")
    graph.add_edge("one", "two")
    graph.add_edge("two", END)
    state = graph.compile().invoke({"messages": []})
    assert [message.content for message in state["messages"]] == ["yes", "yes"]


def test_an_agent_is_as_many_lines_as_calls(path: Path, live: ChatOpenAI) -> None:
    agent(recorded(live, path)).invoke(QUESTION)
    first, second = lines(path)
    assert [message["type"] for message in second["request"]["messages"]] == ["human", "ai", "tool"]
    assert second["request"]["messages"][2]["tool_call_id"] == "call_1"
    assert first["request"]["tools"][0]["name"] == "temperature"
