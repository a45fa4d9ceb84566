"""Which runs wait for a person: the graph whose node waits, and the chains that return because of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import HumanInTheLoopMiddleware
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.errors import GraphInterrupt
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from plsync import Journal, PromptLayerCallbackHandler
from tests.support.trees import Node, agent_model, both, graph, tool_call, trees

QUESTION: Any = {"messages": [("user", "Delete it.")]}


@pytest.fixture
def handler(tmp_path: Path) -> PromptLayerCallbackHandler:
    return PromptLayerCallbackHandler(journal=tmp_path / "journal")


@pytest.fixture
def recorded(handler: PromptLayerCallbackHandler, tmp_path: Path) -> Any:
    def read() -> list[Node]:
        assert handler.failures == 0
        with Journal.open(tmp_path / "journal") as journal:
            return trees(journal)

    return read


def config_of(handler: PromptLayerCallbackHandler, thread: str = "t1") -> RunnableConfig:
    return {"callbacks": [handler], "configurable": {"thread_id": thread}}


def approve(state: MessagesState) -> Any:
    return {"messages": [("user", interrupt("Really?"))]}


def waiting_graph(**compiled: Any) -> Any:
    return graph(("approve", approve), **compiled)


def statuses(root: Node) -> dict[str, str]:
    return {node.name: node.status for node in root.walk()}


@both
def test_a_chain_that_resumes_its_graph_has_not_waited(
    handler: PromptLayerCallbackHandler, recorded: Any, call: Any
) -> None:
    app = waiting_graph(checkpointer=InMemorySaver())

    def drive(text: str, config: RunnableConfig) -> str:
        app.invoke(QUESTION, config)
        app.invoke(Command(resume="yes"), config)
        return text

    call(RunnableLambda(drive, name="drive"), "hi", config_of(handler))
    (root,) = recorded()
    assert [(node.name, node.status) for node in root.walk()] == [
        ("drive", "ok"),
        ("LangGraph", "interrupted"),
        ("approve", "interrupted"),
        ("LangGraph", "ok"),
        ("approve", "ok"),
    ]


@both
def test_a_chain_of_two_conversations_waits_for_the_one_that_was_not_resumed(
    handler: PromptLayerCallbackHandler, recorded: Any, call: Any
) -> None:
    app = waiting_graph(checkpointer=InMemorySaver())

    def drive(text: str, config: RunnableConfig) -> str:
        for thread, sent in (("a", QUESTION), ("b", QUESTION), ("b", Command(resume="yes"))):
            app.invoke(sent, {**config, "configurable": {"thread_id": thread}})
        return text

    call(RunnableLambda(drive, name="drive"), "hi", {"callbacks": [handler]})
    (root,) = recorded()
    assert [child.status for child in root.children] == ["interrupted", "interrupted", "ok"]
    assert root.status == "interrupted"


@both
def test_a_chain_around_a_graph_that_waits_is_interrupted(
    handler: PromptLayerCallbackHandler, recorded: Any, call: Any
) -> None:
    chain = waiting_graph(checkpointer=InMemorySaver()) | RunnableLambda(lambda state: state["messages"], name="last")
    call(chain.with_config(run_name="chain"), QUESTION, config_of(handler))
    (root,) = recorded()
    assert statuses(root) == {
        "chain": "interrupted",
        "LangGraph": "interrupted",
        "approve": "interrupted",
        "last": "ok",
    }


@both
def test_a_node_that_catches_the_interrupt_of_its_graph_has_not_waited(
    handler: PromptLayerCallbackHandler, recorded: Any, call: Any
) -> None:
    inner = waiting_graph(name="inner")

    def skip(state: MessagesState) -> Any:
        try:
            inner.invoke(QUESTION)
        except GraphInterrupt:
            return {"messages": [("ai", "skipped")]}
        return {}

    call(graph(("skip", skip), checkpointer=InMemorySaver(), name="outer"), QUESTION, config_of(handler))
    (root,) = recorded()
    assert statuses(root) == {"outer": "ok", "skip": "ok", "inner": "interrupted", "approve": "interrupted"}


@both
def test_an_agent_that_goes_on_beside_a_graph_that_waits_has_not_waited(
    handler: PromptLayerCallbackHandler, recorded: Any, call: Any
) -> None:
    inner = waiting_graph(checkpointer=InMemorySaver(), name="inner")

    @tool
    def delegate(question: str) -> str:
        """Starts another graph."""
        inner.invoke(QUESTION, {"configurable": {"thread_id": "of the tool"}})
        return "started"

    model = agent_model(tool_call("delegate", question="?"), "done")
    agent = create_agent(model, [delegate], name="agent", checkpointer=InMemorySaver())
    call(agent, QUESTION, config_of(handler))
    (root,) = recorded()
    found = statuses(root)
    assert (found["agent"], found["tools"], found["delegate"]) == ("ok", "ok", "ok")
    assert found["inner"] == "interrupted"


@both
def test_subgraphs_that_wait_side_by_side_are_answered_one_after_the_other(
    handler: PromptLayerCallbackHandler, recorded: Any, call: Any
) -> None:
    built = StateGraph(MessagesState)
    for name in ("first", "second"):
        built.add_node(name, waiting_graph())
        built.add_edge(START, name)
    built.add_node("plain", lambda state: {})
    built.add_edge(START, "plain")
    app: Any = built.compile(checkpointer=InMemorySaver())
    waiting = call(app, QUESTION, config_of(handler))["__interrupt__"]
    for question in waiting:
        call(app, Command(resume={question.id: "yes"}), config_of(handler))
    roots = recorded()
    assert [root.status for root in roots] == ["interrupted", "interrupted", "ok"]
    assert roots[0].find("plain").status == "ok"
    below = [{child.status for child in root.children if child.name != "plain"} for root in roots]
    assert below == [{"interrupted"}, {"ok", "interrupted"}, {"ok"}]


@both
@pytest.mark.parametrize("place", ["tool", "middleware"])
def test_an_agent_whose_tool_waits_is_interrupted(
    handler: PromptLayerCallbackHandler, recorded: Any, call: Any, place: str
) -> None:
    @tool
    def pay(card: str) -> str:
        """Pays."""
        return str(interrupt("Pay?")) if place == "tool" else "paid"

    middleware: Any = [HumanInTheLoopMiddleware(interrupt_on={"pay": True})] if place == "middleware" else []
    model = agent_model(tool_call("pay", card="1"), "done")
    agent = create_agent(model, [pay], name="agent", checkpointer=InMemorySaver(), middleware=middleware)
    call(agent, QUESTION, config_of(handler))
    answer: Any = {"decisions": [{"type": "approve"}]} if place == "middleware" else "yes"
    call(agent, Command(resume=answer), config_of(handler))
    waiting, resumed = recorded()
    found = statuses(waiting)
    assert (found.pop("agent"), found.pop("model"), found.pop("FakeAgentModel")) == ("interrupted", "ok", "ok")
    assert set(found.values()) == {"interrupted"}
    assert set(statuses(resumed).values()) == {"ok"}


def test_a_workflow_of_functions_that_waits_is_interrupted(handler: PromptLayerCallbackHandler, recorded: Any) -> None:
    @task
    def step(number: int) -> int:
        return number

    @entrypoint(checkpointer=InMemorySaver())
    def flow(text: str) -> Any:
        step(1).result()
        return interrupt("Really?")

    flow.invoke("hi", config_of(handler))
    flow.invoke(Command(resume="yes"), config_of(handler))
    waiting, resumed = recorded()
    assert statuses(waiting) == {"LangGraph": "interrupted", "flow": "interrupted", "step": "ok"}
    assert set(statuses(resumed).values()) == {"ok"}
