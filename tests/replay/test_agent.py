"""LangGraph's agents, replayed from a recording."""

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


def conversation(state: dict[str, Any]) -> list[tuple[str, Any, Any]]:
    """The messages of a state. Only the model's messages keep their ids: LangGraph generates the other ids."""
    return [
        (message.type, message.content, (message.id, message.tool_calls) if isinstance(message, AIMessage) else None)
        for message in state["messages"]
    ]


def test_an_agent_replays_its_run(path: Path, live: ChatOpenAI) -> None:
    first = conversation(agent(recorded(live, path)).invoke(QUESTION))
    assert [kind for kind, *_ in first] == ["human", "ai", "tool", "ai"]
    assert conversation(agent(replayed(live, path)).invoke(QUESTION)) == first


async def test_an_agent_replays_its_run_asynchronously(path: Path, live: ChatOpenAI) -> None:
    first = conversation(await agent(recorded(live, path)).ainvoke(QUESTION))
    assert len(first) == 4
    assert conversation(await agent(replayed(live, path)).ainvoke(QUESTION)) == first


@pytest.mark.parametrize("way", ["messages", "updates", "values"])
def test_a_streamed_run_has_the_same_pieces(way: str, path: Path, live: ChatOpenAI) -> None:
    def pieces(model: Any) -> list[str]:
        return [str(_content(piece)) for piece in agent(model).stream(QUESTION, stream_mode=way)]

    first = pieces(recorded(live, path))
    assert len(first) >= 3
    assert pieces(replayed(live, path)) == first


def _content(piece: Any) -> Any:
    """A piece of a stream without the values that LangGraph generates for each run."""
    if isinstance(piece, dict):
        return {name: _content(value) for name, value in piece.items()}
    if isinstance(piece, (list, tuple)):
        return [_content(item) for item in piece if not isinstance(item, dict) or "langgraph_step" not in item]
    return (piece.type, piece.content) if isinstance(piece, BaseMessage) else piece


def test_an_agent_replays_a_structured_response(path: Path, live: ChatOpenAI) -> None:
    settings: dict[str, Any] = {"response_format": Report}
    first = agent(recorded(live, path), **settings).invoke(QUESTION)
    again = agent(replayed(live, path), **settings).invoke(QUESTION)
    assert isinstance(first["structured_response"], Report)
    assert again["structured_response"] == first["structured_response"]


def test_an_agent_runs_from_a_recording_alone(path: Path, live: ChatOpenAI) -> None:
    first = conversation(agent(recorded(live, path)).invoke(QUESTION))
    assert conversation(agent(load(path)).invoke(QUESTION)) == first


def test_a_structured_response_comes_from_a_recording_alone(path: Path, live: ChatOpenAI) -> None:
    first = agent(recorded(live, path), response_format=Report).invoke(QUESTION)
    again = agent(load(path), response_format=Report).invoke(QUESTION)
    assert isinstance(first["structured_response"], Report)
    assert again["structured_response"] == first["structured_response"]


def test_an_agent_with_a_model_from_a_string_is_replayed(
    path: Path, server: OpenAIServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    with record_all(path, mode="once"):
        first = conversation(agent("openai:gpt-4o-mini").invoke(QUESTION))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1")
    monkeypatch.delenv("OPENAI_API_KEY")
    with record_all(path) as replay:
        assert conversation(agent("openai:gpt-4o-mini").invoke(QUESTION)) == first
    assert (replay.counts.replayed, len(replay.unused())) == (2, 0)


def test_an_agent_runs_from_a_journal_and_from_its_export(path: Path, tmp_path: Path, live: ChatOpenAI) -> None:
    journal = tmp_path / "journal"
    handler = PromptLayerCallbackHandler(journal=journal)
    first = conversation(agent(live).invoke(QUESTION, {"callbacks": [handler]}))
    assert conversation(agent(with_recording(poisoned(live), journal)).invoke(QUESTION)) == first
    with Journal.open(journal) as opened:
        export(opened.records(oldest_first=True), path)
    assert conversation(agent(replayed(live, path)).invoke(QUESTION)) == first


def in_kelvin() -> Any:
    def temperature(city: str) -> str:
        """The temperature in a city."""
        return f"294 kelvin in {city}"

    return temperature


def test_a_changed_tool_is_a_mismatch_that_shows_the_change(path: Path, live: ChatOpenAI) -> None:
    agent(recorded(live, path)).invoke(QUESTION)
    with pytest.raises(NoRecording) as raised:
        create_agent(replayed(live, path), [in_kelvin()]).invoke(QUESTION)
    assert "-messages[2].content: 21 degrees in Paris" in str(raised.value)
    assert "+messages[2].content: 294 kelvin in Paris" in str(raised.value)


async def test_a_mismatch_ends_the_run_despite_retries_of_the_graph(path: Path) -> None:
    def call_model(state: State) -> dict[str, Any]:
        return {"messages": [model.invoke(state["messages"])]}

    async def acall_model(state: State) -> dict[str, Any]:
        return {"messages": [await model.ainvoke(state["messages"])]}

    recording = Recording(path)
    model = with_recording(poisoned(Chat()), recording)
    for number, node in enumerate((call_model, acall_model), 1):
        graph = StateGraph(State)
        graph.add_node("call", node, retry_policy=RetryPolicy(max_attempts=3, initial_interval=0.01))
        graph.add_edge(START, "call")
        with pytest.raises(NoRecording):
            await graph.compile().ainvoke(QUESTION)
        assert recording.counts.missed == number


class State(TypedDict):
    """The conversation. LangGraph merges messages with the same id."""

    messages: Annotated[list[AnyMessage], add_messages]


def test_a_repeated_response_is_a_new_message_in_the_state(path: Path) -> None:
    recorded(Chat(), path).invoke("hi")
    model = replayed(Chat(), path, exhausted="repeat")

    def call_model(state: State) -> dict[str, Any]:
        return {"messages": [model.invoke("hi")]}

    graph = StateGraph(State)
    graph.add_node("one", call_model)
    graph.add_node("two", call_model)
    graph.add_edge(START, "one")
    graph.add_edge("one", "two")
    graph.add_edge("two", END)
    state = graph.compile().invoke({"messages": []})
    assert [message.content for message in state["messages"]] == ["yes", "yes"]


def test_an_agent_writes_one_line_for_each_call(path: Path, live: ChatOpenAI) -> None:
    agent(recorded(live, path)).invoke(QUESTION)
    first, second = lines(path)
    assert [message["type"] for message in second["request"]["messages"]] == ["human", "ai", "tool"]
    assert second["request"]["messages"][2]["tool_call_id"] == "call_1"
    assert first["request"]["tools"][0]["name"] == "temperature"
