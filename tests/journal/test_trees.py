"""Trees in a journal: they are read as a whole, survive the death of a process, and stay apart from calls."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from langgraph.types import interrupt

from plsync import Journal, PromptLayerCallbackHandler
from plsync.errors import InvalidFollowUp, RecordNotFound
from plsync.replay import exporter
from tests.support.trees import agent_model, graph, tool_call

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def run_agent(path: Path, use: Callable[[], str], **config: Any) -> None:
    @tool
    def temperature(city: str) -> str:
        """The temperature of a city."""
        return use()

    model = agent_model(tool_call("temperature", city="Paris"), "It is 4 degrees in Paris.")
    handler = PromptLayerCallbackHandler(journal=path, runs="tree", pl_tags=["weather"])
    messages = [HumanMessage("How warm is Rome?"), AIMessage("20 degrees."), HumanMessage("And Paris?")]
    agent: Any = create_agent(model, [temperature], name="forecast")
    agent.invoke({"messages": messages}, {"callbacks": [handler], "metadata": {"user_id": "17"}, **config})


@pytest.fixture
def recorded(path: Path) -> Path:
    run_agent(path, lambda: "It is 4 degrees in Paris.")
    return path


def in_child(work: Callable[[], object]) -> None:
    """Run in a child that then dies, unless it killed itself before."""
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(1)
    os.waitpid(child, 0)


def die() -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


def test_a_tree_is_read_by_the_id_of_any_of_its_runs(recorded: Path) -> None:
    with Journal.open(recorded) as journal:
        (root,) = journal.trees()
        ids = [run.id for run in root.walk()]
        assert len(ids) == 7
        assert {journal.tree(run_id).id for run_id in ids} == {root.id}
        assert root.parent is None and all(child.parent is root for child in root.children)
        assert [record.kind for record in root.calls] == ["chat", "chat"]
        assert root.calls == list(journal.records(oldest_first=True))


def test_a_run_has_its_whole_output_and_the_metadata_of_its_parents(recorded: Path) -> None:
    with Journal.open(recorded) as journal:
        (root,) = journal.trees()
    texts = [message["content"] for message in root.output["messages"]]
    assert texts[:3] == ["How warm is Rome?", "20 degrees.", "And Paris?"]
    assert texts[3:] == ["", "It is 4 degrees in Paris.", "It is 4 degrees in Paris."]
    used = root.find("temperature")
    assert used is not None
    assert (used.kind, used.input, used.tool_call_id) == ("tool", {"city": "Paris"}, "call_1")
    assert used.output["content"] == "It is 4 degrees in Paris."
    assert used.metadata["user_id"] == "17" and "user_id" not in used.record.metadata
    nested = root.as_dict()
    assert [child["name"] for child in nested["children"]] == ["model", "tools", "model"]


def test_the_metadata_of_a_tool_alone_is_not_inherited(path: Path) -> None:
    @tool
    def delegate(city: str) -> str:
        """Starts a chain."""
        chain = RunnableLambda(str.upper, name="shout") | FakeListChatModel(responses=["Paris"])
        return str(chain.with_config(run_name="chain", metadata={"step": 2}).invoke(city).content)

    delegate.metadata = {"owner": "Bo"}
    config: Any = {"callbacks": [PromptLayerCallbackHandler(journal=path)], "metadata": {"user_id": "17"}}
    delegate.invoke({"city": "Paris"}, config)
    with Journal.open(path) as journal:
        (root,) = journal.trees()
    assert root.metadata == {"user_id": "17", "owner": "Bo"}
    found = {run.name: run.metadata for run in root.walk() if not run.is_call}
    assert found["chain"] == found["shout"] == {"user_id": "17", "step": 2}
    (call,) = root.calls
    assert "owner" not in next(run.metadata for run in root.walk() if run.record == call)


def test_a_call_outside_trees_is_a_separate_tree(path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path, runs="tree")
    FakeListChatModel(responses=["Paris"], callbacks=[handler]).invoke("The capital?")
    with Journal.open(path) as journal:
        (record,) = journal.records()
        alone = journal.tree(record.id)
        assert (alone.record, alone.children, alone.is_call, record.root_id) == (record, [], True, None)
        assert list(journal.trees()) == []
        with pytest.raises(RecordNotFound):
            journal.tree("ffffffffffff")


def test_trees_are_filtered_by_their_root(path: Path) -> None:
    def approve(state: MessagesState) -> Any:
        return {"messages": [("user", interrupt("Really?"))]}

    handler = PromptLayerCallbackHandler(journal=path, runs="tree")
    app = graph(("approve", approve), checkpointer=InMemorySaver())
    for thread in ("t1", "t2"):
        config = {"callbacks": [handler], "configurable": {"thread_id": thread}}
        app.invoke({"messages": [("user", "Delete it")]}, config)
    run_agent(path, lambda: "4")
    with Journal.open(path) as journal:
        assert [run.name for run in journal.trees(limit=2)] == ["forecast", "LangGraph"]
        waiting = list(journal.trees(status="interrupted", oldest_first=True))
        assert [(run.status, run.metadata["thread_id"]) for run in waiting] == [
            ("interrupted", "t1"),
            ("interrupted", "t2"),
        ]
        assert [run.name for run in journal.trees(tag="weather")] == ["forecast"]
        assert len(list(journal.trees(thread="t2"))) == 1


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize("limit", [None, 3, 150])
def test_few_of_many_trees_pass_a_filter_of_their_metadata(path: Path, limit: int | None, oldest_first: bool) -> None:
    handler = PromptLayerCallbackHandler(journal=path)
    for number in range(700):
        run_id = uuid4()
        # The search for the text of the number passes each root.
        metadata = {"number": number % 4, "other": "1"}
        handler.on_chain_start(None, {}, run_id=run_id, metadata=metadata, name=str(number))
        handler.on_chain_end({}, run_id=run_id)
    names = [str(number) for number in range(700) if number % 4 == 1]
    with Journal.open(path) as journal:
        found = journal.trees(metadata={"number": 1}, limit=limit, oldest_first=oldest_first)
        assert [run.name for run in found] == (names if oldest_first else names[::-1])[:limit]


def test_runs_that_are_not_calls_are_left_out(recorded: Path, tmp_path: Path) -> None:
    with Journal.open(recorded) as journal:
        assert [record.is_run for record in journal.records()] == [False, False]
        assert sorted(record.is_run for record in journal.records(runs=True)) == [False] * 2 + [True] * 5
        assert (journal.count(), journal.count(runs=True)) == (2, 7)
        assert journal.count(tag="weather") == 2
        assert journal.usage().total.calls == 2
        assert len(list(journal.scan())) == 2
        stats = journal.stats()
        assert (stats.records, stats.runs, stats.open_runs) == (2, 5, 0)
        report = exporter.export(journal.records(oldest_first=True), tmp_path / "calls.jsonl")
        assert (report.calls, report.skipped) == (2, 0)
        followed = journal.follow(after=0, poll=0)
        assert [next(followed).is_run for _ in range(2)] == [False, False]


def test_no_follow_up_is_about_a_run_that_is_no_call(recorded: Path) -> None:
    with Journal.open(recorded) as journal:
        (root,) = journal.trees()
        with pytest.raises(InvalidFollowUp, match="is a chain, which has no request id"):
            journal.track.score(root.id, 90)
        assert journal.track.score(root.calls[0].id, 90)


@pytest.mark.parametrize("chosen", ["call", "root", "tag"])
def test_a_whole_tree_is_forgotten(recorded: Path, chosen: str) -> None:
    run_agent(recorded, lambda: "kept")
    with Journal.open(recorded) as journal:
        kept, root = journal.trees()
        if chosen == "tag":
            journal.forget(metadata={"user_id": "17"}, until=kept.started_at)
        else:
            journal.forget(root.id if chosen == "root" else root.calls[0].id)
        assert {run.record.forgotten for run in kept.walk()} == {False}
        assert all(record.forgotten for record in journal.records(runs=True) if record.id < kept.id)
        assert not list(journal.records(text="4 degrees in Paris", until=kept.started_at, runs=True))
        assert journal.check().problems == []


def test_a_process_that_dies_in_a_tool_leaves_its_finished_runs(path: Path) -> None:
    in_child(lambda: run_agent(path, die))
    with Journal.open(path) as journal:
        (root,) = journal.trees()
        ends = {run.name: run.record.stored_end() for run in root.walk()}
        assert ends == {
            "forecast": "abandoned",
            "model": "ok",
            "FakeAgentModel": "ok",
            "tools": "abandoned",
            "temperature": "abandoned",
        }
        assert root.input["messages"][0]["content"] == "How warm is Rome?"
        assert (journal.stats().open_runs, journal.check().problems) == (0, [])


def test_a_process_that_dies_in_a_stream_leaves_its_finished_runs(path: Path) -> None:
    def stream() -> None:
        handler = PromptLayerCallbackHandler(journal=path, runs="tree")
        chain = RunnableLambda(lambda text: text) | FakeListChatModel(responses=["Paris"]) | StrOutputParser()
        for _ in chain.stream("The capital?", {"callbacks": [handler]}):
            die()

    in_child(stream)
    with Journal.open(path) as journal:
        (root,) = journal.trees()
        assert {run.record.stored_end() for run in root.walk() if run.is_call} == {"abandoned"}
        assert root.record.stored_end() == "abandoned"


def test_a_process_that_dies_after_its_root_leaves_a_whole_tree(path: Path) -> None:
    def run() -> None:
        run_agent(path, lambda: "4")
        die()

    in_child(run)
    with Journal.open(path) as journal:
        (root,) = journal.trees()
        assert {run.status for run in root.walk()} == {"ok"}


def test_the_calls_of_a_child_that_a_tool_forks_belong_to_the_tool(path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path, runs="tree")
    model = FakeListChatModel(responses=["Paris"])

    @tool
    def delegate(city: str) -> str:
        """Calls a model in another process."""
        in_child(lambda: model.invoke("The capital?"))
        return "done"

    agent: Any = create_agent(agent_model(tool_call("delegate", city="Paris"), "Done."), [delegate], name="boss")
    agent.invoke({"messages": [("user", "hi")]}, {"callbacks": [handler]})
    with Journal.open(path) as journal:
        (root,) = journal.trees()
        used = root.find("delegate")
        assert used is not None and [child.name for child in used.children] == ["FakeListChatModel"]
        assert {run.status for run in root.walk()} == {"ok"}
        assert journal.check().problems == []
