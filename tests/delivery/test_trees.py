"""An agent arrives at PromptLayer as a tree: one trace with each span and each log once, closed with its last span."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import FakeListChatModel
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command, interrupt

from plsync import Journal, PromptLayerCallbackHandler
from plsync.delivery.policy import SendPolicy
from plsync.delivery.reports import PassReport
from plsync.delivery.sender import Sender
from plsync.promptlayer.client import PromptLayerClient
from plsync.testing import PromptLayerServer
from tests.support.commands import json_lines
from tests.support.trees import agent_model, graph, tool_call

AGENT = """\
forecast
├─ model
│  └─ FakeAgentModel
├─ tools
│  └─ Tool: temperature
└─ model
   └─ FakeAgentModel"""


@tool
def temperature(city: str) -> str:
    """The temperature of a city."""
    return f"It is 4 degrees in {city}."


@pytest.fixture
def handler(path: Path) -> PromptLayerCallbackHandler:
    return PromptLayerCallbackHandler(journal=path, runs="tree")


def run_agent(handler: PromptLayerCallbackHandler, question: str = "How warm is Paris?", **config: Any) -> None:
    model = agent_model(tool_call("temperature", city="Paris"), "It is 4 degrees in Paris.")
    agent: Any = create_agent(model, [temperature], name="forecast")
    agent.invoke({"messages": [("user", question)]}, {"callbacks": [handler], **config})


def send(path: Path, server: PromptLayerServer, *, passes: int = 1, wait: float = 60.0, **options: Any) -> PassReport:
    """Send the due records, and return the report of the last pass."""
    with Journal.open(path) as journal, PromptLayerClient(server.api_key, server.url) as client:
        sender = Sender(journal, client, SendPolicy(settle=0.0, tree_wait=wait), **options)
        reports = [sender.run_pass() for _ in range(passes)]
    return reports[-1]


def bulks(server: PromptLayerServer) -> list[Any]:
    return [request.body for request in server.requests if request.path == "/spans-bulk"]


def lookups(server: PromptLayerServer) -> int:
    return sum("/traces/" in request.path for request in server.requests)


def test_an_agent_is_one_trace_in_one_request(
    handler: PromptLayerCallbackHandler, path: Path, server: PromptLayerServer
) -> None:
    run_agent(handler)
    report = send(path, server)
    tree = server.tree("forecast", closed=True)
    assert str(tree) == AGENT
    (bulk,) = bulks(server)
    assert bulk["close_after"] and bulk["spans"][0]["name"] == "forecast"
    assert report.acked == 2
    with Journal.open(path) as journal:
        records = list(journal.records())
        assert {record.request_id for record in records} == {call.log["id"] for call in tree.calls if call.log}
        assert {record.trace_id for record in records} == {tree.trace_id}
        server.assert_exactly_once(record.id for record in records)
        assert {run.record.state for run in journal.tree(records[0].id).walk()} == {"acked"}


def test_spans_have_the_attributes_of_their_kinds(
    handler: PromptLayerCallbackHandler, path: Path, server: PromptLayerServer
) -> None:
    run_agent(handler, configurable={"thread_id": "t1"})
    send(path, server)
    tree = server.tree("forecast")
    root, used = tree.attributes, tree.find("Tool: temperature").attributes
    assert (root["node_type"], root["gen_ai.operation.name"]) == ("LLM_SESSION", "invoke_agent")
    assert (root["input.value"], root["output.value"]) == ("How warm is Paris?", "It is 4 degrees in Paris.")
    assert root["gen_ai.conversation.id"] == "t1"
    assert used["node_type"] == "CODE_EXECUTION"
    assert used["gen_ai.operation.name"] == "execute_tool"
    assert [used[key] for key in ("tool_name", "tool.name", "function_name")] == ["temperature"] * 3
    assert (used["function_input"], used["function_output"]) == ('{"city":"Paris"}', "It is 4 degrees in Paris.")
    assert used["gen_ai.tool.call.id"] == "call_1"
    assert {span.attributes["node_type"] for span in tree if span.name in ("model", "tools")} == {"WORKFLOW"}


def test_long_contents_are_cut_with_a_note(
    handler: PromptLayerCallbackHandler, path: Path, server: PromptLayerServer
) -> None:
    RunnableLambda(lambda text: text + "!", name="shout").invoke("ä" * 40_000, {"callbacks": [handler]})
    send(path, server)
    root = server.tree("shout").attributes
    assert len(root["function_input"].encode()) == 32 << 10
    assert root["plsync_cut"] == "function_input, function_output, input.value, output.value"


@pytest.mark.parametrize("batch", [1, 3])
def test_a_large_tree_goes_in_parts_and_the_last_one_closes_it(
    handler: PromptLayerCallbackHandler, path: Path, server: PromptLayerServer, batch: int
) -> None:
    run_agent(handler)
    send(path, server, batch=batch, passes=7)
    assert str(server.tree("forecast", closed=True)) == AGENT
    closing = [bulk.get("close_after", False) for bulk in bulks(server)]
    assert closing == [False] * (len(closing) - 1) + [True] and len(closing) == -(-7 // batch)


def test_a_lost_response_of_a_tree_costs_one_look_up(
    handler: PromptLayerCallbackHandler, path: Path, server: PromptLayerServer
) -> None:
    run_agent(handler)
    run_agent(handler, "And Rome?")
    server.drop_reply(path="/spans-bulk", times=1)
    send(path, server)
    before = lookups(server)
    send(path, server)
    assert lookups(server) - before <= 2
    assert [str(tree) for tree in server.find_trees(closed=True)] == [AGENT, AGENT]
    with Journal.open(path) as journal:
        server.assert_exactly_once(record.id for record in journal.records())


def test_a_refused_span_does_not_take_its_tree_with_it(
    handler: PromptLayerCallbackHandler, path: Path, server: PromptLayerServer
) -> None:
    run_agent(handler)
    server.refuse("It is 4 degrees in Paris")
    send(path, server)
    server.clear()
    trees = server.trees
    with Journal.open(path) as journal:
        (root,) = journal.trees()
        states = [run.record.state for run in root.walk()]
    assert set(states) == {"acked", "dead"}
    assert all(tree.closed for tree in trees)


def test_a_tree_whose_root_runs_on_goes_in_parts(
    handler: PromptLayerCallbackHandler, path: Path, server: PromptLayerServer
) -> None:
    def work(state: Any) -> dict[str, Any]:
        FakeListChatModel(responses=["one"]).invoke("first")
        send(path, server)
        assert server.request_logs == []
        send(path, server, wait=0.0)
        assert len(server.request_logs) == 1 and server.closed_traces == set()
        FakeListChatModel(responses=["two"]).invoke("second")
        return {"messages": []}

    graph(("work", work)).invoke({"messages": [("user", "hi")]}, {"callbacks": [handler]})
    send(path, server)
    tree = server.tree("LangGraph", closed=True)
    assert [span.name for span in tree] == ["LangGraph", "work", "FakeListChatModel", "FakeListChatModel"]
    assert len(server.request_logs) == 2


async def test_a_call_that_ends_after_its_tree_was_sent_is_linked(
    handler: PromptLayerCallbackHandler, path: Path, server: PromptLayerServer
) -> None:
    release, tasks = asyncio.Event(), []

    async def late(text: str) -> str:
        await release.wait()
        return str((await FakeListChatModel(responses=["late"]).ainvoke(text)).content)

    async def work(text: str) -> str:
        tasks.append(asyncio.ensure_future(RunnableLambda(late, name="late").ainvoke(text)))
        await asyncio.sleep(0)
        return text

    await RunnableLambda(work, name="work").ainvoke("hi", {"callbacks": [handler]})
    send(path, server)
    assert server.tree("work", closed=True).children == []
    release.set()
    await asyncio.gather(*tasks)
    send(path, server, passes=2)
    tree = server.tree("work", closed=True)
    assert sorted(late.name for late in tree.linked) == ["FakeListChatModel", "late"]
    assert all(late.closed for late in tree.linked)
    server.assert_logged(metadata={"plsync_root": tree.span["attributes"]["plsync_id"]}, times=1)


def test_a_graph_that_waits_is_no_error_and_its_resumption_is_linked(
    handler: PromptLayerCallbackHandler, path: Path, server: PromptLayerServer
) -> None:
    def approve(state: Any) -> dict[str, Any]:
        return {"messages": [("ai", interrupt("Send it?"))]}

    waiting = graph(("approve", approve), checkpointer=InMemorySaver())
    config: Any = {"callbacks": [handler], "configurable": {"thread_id": "t7"}}
    waiting.invoke({"messages": [("user", "Write to Bo.")]}, config)
    waiting.invoke(Command(resume="yes"), config)
    send(path, server)
    first, second = server.trees
    assert [span.status for span in first] == ["UNSET", "UNSET"]
    assert first.attributes["plsync_status"] == "interrupted"
    assert {tree.attributes["gen_ai.conversation.id"] for tree in (first, second)} == {"t7"}
    assert [span.status for span in second] == ["OK", "OK"]
    assert [linked.trace_id for linked in first.linked] == [second.trace_id]


def waiting_graph() -> Any:
    def approve(state: Any) -> dict[str, Any]:
        return {"messages": [("ai", interrupt("Send it?"))]}

    return graph(("approve", approve), checkpointer=InMemorySaver())


def test_a_resumption_is_linked_beside_many_graphs_that_wait(
    handler: PromptLayerCallbackHandler, path: Path, server: PromptLayerServer
) -> None:
    app = waiting_graph()
    for number in range(110):
        config: Any = {"callbacks": [handler], "configurable": {"thread_id": f"t{number}"}}
        app.invoke({"messages": [("user", "Write to Bo.")]}, config)
    app.invoke(Command(resume="yes"), {"callbacks": [handler], "configurable": {"thread_id": "t0"}})
    send(path, server, passes=3)
    linked = [tree for tree in server.trees if tree.linked]
    assert [tree.attributes["gen_ai.conversation.id"] for tree in linked] == ["t0"]


def test_only_a_resumption_is_linked_without_content(path: Path, server: PromptLayerServer) -> None:
    handler = PromptLayerCallbackHandler(journal=path, content=False)
    app = waiting_graph()
    config: Any = {"callbacks": [handler], "configurable": {"thread_id": "t1"}}
    app.invoke({"messages": [("user", "Write to Bo.")]}, config)
    app.invoke(Command(resume="yes"), config)
    app.invoke({"messages": [("user", "Write to Cy.")]}, config)
    send(path, server)
    first, second, third = server.trees
    assert [linked.trace_id for linked in first.linked] == [second.trace_id]
    assert not second.linked and not third.linked


def test_calls_go_alone_without_trees(
    handler: PromptLayerCallbackHandler, path: Path, server: PromptLayerServer
) -> None:
    run_agent(handler)
    send(path, server, trees=False, passes=2)
    assert [span["name"] for span in server.spans] == ["FakeAgentModel", "FakeAgentModel"]
    assert not any(span.get("parent_id") or span.get("links") for span in server.spans)
    assert len(server.closed_traces) == 2
    with Journal.open(path) as journal:
        server.assert_exactly_once(record.id for record in journal.records())
        assert journal.stats().states["pending"] == 0
        states = {run.record.state for run in next(journal.trees()).walk() if run.record.is_run}
    assert states == {"held"}


def test_held_runs_are_sent_after_a_retry(
    handler: PromptLayerCallbackHandler, path: Path, server: PromptLayerServer
) -> None:
    run_agent(handler)
    send(path, server, trees=False, passes=2)
    assert json_lines(path, "retry", "--delivery", "held") == [
        {"records": 0, "runs": 5, "followups": 0, "callbacks": 0}
    ]
    send(path, server)
    tree = server.tree("forecast", closed=True)
    assert [span.name for span in tree] == ["forecast", "model", "tools", "Tool: temperature", "model"]


def test_a_root_that_is_refused_goes_without_its_content(
    handler: PromptLayerCallbackHandler, path: Path, server: PromptLayerServer
) -> None:
    run_agent(handler, "forbidden")
    server.refuse('"input.value": "forbidden"')
    server.refuse('"input.value":"forbidden"')
    report = send(path, server)
    tree = server.tree("forecast", closed=True)
    assert str(tree) == AGENT and report.dead == 0
    assert "function_input" not in tree.attributes
    assert tree.attributes["plsync_cut"].startswith("everything: PromptLayer refused it (")
    with Journal.open(path) as journal:
        assert {run.record.state for run in next(journal.trees()).walk()} == {"acked"}


def nested_chains(handler: PromptLayerCallbackHandler) -> None:
    model = FakeListChatModel(responses=["one"])
    work: Any = model.invoke
    for name in ("inner", "refused middle", "outer"):
        work = RunnableLambda(work, name=name).invoke
    work("hi", {"callbacks": [handler]})


@pytest.mark.parametrize("batch", [1, 200])
def test_the_children_of_a_refused_span_are_children_of_its_parent(
    handler: PromptLayerCallbackHandler, path: Path, server: PromptLayerServer, batch: int
) -> None:
    nested_chains(handler)
    server.refuse("refused middle")
    send(path, server, batch=batch, passes=4)
    assert str(server.tree("outer", closed=True)) == "outer\n└─ inner\n   └─ FakeListChatModel"
    assert not server.trees[0].orphans
    with Journal.open(path) as journal:
        assert [run.record.state for run in next(journal.trees()).walk()] == ["acked", "dead", "acked", "acked"]


def test_a_tree_without_calls_is_work_that_is_left(handler: PromptLayerCallbackHandler, path: Path) -> None:
    RunnableLambda(lambda text: text, name="shout").invoke("hi", {"callbacks": [handler]})
    with Journal.open(path) as journal:
        assert journal.stats().left == {"runs": 1}


def test_the_ended_calls_of_an_agent_that_runs_are_no_work_that_is_left(
    handler: PromptLayerCallbackHandler, path: Path
) -> None:
    def work(text: str) -> str:
        FakeListChatModel(responses=["one"]).invoke(text)
        with Journal.open(path) as journal:
            stats = journal.stats()
        assert (stats.growing, stats.left) == (1, {})
        return text

    RunnableLambda(work, name="work").invoke("hi", {"callbacks": [handler]})
    with Journal.open(path) as journal:
        assert journal.stats().left == {"pending": 1, "runs": 1}
