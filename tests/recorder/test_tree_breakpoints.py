"""Graphs that stop at a breakpoint. LangChain reports them like graphs that have ended; LangGraph reports the stop."""

from __future__ import annotations

import copy
import logging
import pickle
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.runnables import RunnableConfig, RunnableLambda
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import MessagesState
from packaging.version import Version

from plsync import Journal, PromptLayerCallbackHandler
from tests.support.trees import Node, agent_model, both, graph, tool_call, trees

# With an earlier version in front, tests/compat.sh leaves this module of a later one visible.
if Version(version("langgraph")) < Version("1.1.7"):
    pytest.skip("LangGraph before 1.1.7 does not report breakpoints", allow_module_level=True)
from langgraph.callbacks import GraphCallbackHandler

QUESTION: Any = {"messages": [("user", "Delete it.")]}


@pytest.fixture
def handler(tmp_path: Path) -> PromptLayerCallbackHandler:
    return PromptLayerCallbackHandler(journal=tmp_path / "journal")


def recorded(tmp_path: Path) -> list[Node]:
    with Journal.open(tmp_path / "journal") as journal:
        return trees(journal)


def config_of(handler: Any, thread: str = "t1") -> RunnableConfig:
    return {"callbacks": [handler], "configurable": {"thread_id": thread}}


def nothing(state: MessagesState) -> Any:
    return {}


def statuses(root: Node) -> dict[str, str]:
    return {node.name: node.status for node in root.walk()}


BREAKPOINTS: list[dict[str, Any]] = [{"interrupt_before": ["second"]}, {"interrupt_after": ["first"]}]


@both
@pytest.mark.parametrize("breakpoint", BREAKPOINTS)
def test_a_graph_that_stops_at_its_breakpoint_is_interrupted(
    handler: PromptLayerCallbackHandler, tmp_path: Path, call: Any, breakpoint: dict[str, Any]
) -> None:
    app = graph(("first", nothing), ("second", nothing), checkpointer=InMemorySaver(), **breakpoint)
    call(app, QUESTION, config_of(handler))
    (root,) = recorded(tmp_path)
    assert statuses(root) == {"LangGraph": "interrupted", "first": "ok"}


@both
@pytest.mark.parametrize("breakpoint", BREAKPOINTS)
def test_a_chain_is_interrupted_whose_graph_stops_at_a_breakpoint_of_the_call(
    handler: PromptLayerCallbackHandler, tmp_path: Path, call: Any, breakpoint: dict[str, Any]
) -> None:
    app = graph(("first", nothing), ("second", nothing), checkpointer=InMemorySaver())
    drive: Any = RunnableLambda(lambda sent, config: app.invoke(sent, config, **breakpoint), name="drive")
    call(drive, QUESTION, config_of(handler))
    (root,) = recorded(tmp_path)
    assert statuses(root) == {"drive": "interrupted", "LangGraph": "interrupted", "first": "ok"}


@both
def test_the_graph_that_goes_on_is_a_second_tree_that_ends_well(
    handler: PromptLayerCallbackHandler, tmp_path: Path, call: Any
) -> None:
    app = graph(("first", nothing), ("second", nothing), checkpointer=InMemorySaver(), interrupt_before=["second"])
    call(app, QUESTION, config_of(handler))
    call(app, None, config_of(handler))
    stopped, resumed = recorded(tmp_path)
    assert statuses(stopped) == {"LangGraph": "interrupted", "first": "ok"}
    assert statuses(resumed) == {"LangGraph": "ok", "second": "ok"}


@both
def test_an_agent_that_stops_before_its_tools_is_interrupted(
    handler: PromptLayerCallbackHandler, tmp_path: Path, call: Any
) -> None:
    @tool
    def pay(card: str) -> str:
        """Pays."""
        return "paid"

    model = agent_model(tool_call("pay", card="1"), "done")
    agent: Any = create_agent(model, [pay], name="agent", checkpointer=InMemorySaver(), interrupt_before=["tools"])
    call(agent, QUESTION, config_of(handler))
    call(agent, None, config_of(handler))
    stopped, resumed = recorded(tmp_path)
    assert statuses(stopped) == {"agent": "interrupted", "model": "ok", "FakeAgentModel": "ok"}
    assert set(statuses(resumed).values()) == {"ok"}


@both
def test_a_subgraph_with_a_breakpoint_interrupts_the_graphs_around_it(
    handler: PromptLayerCallbackHandler, tmp_path: Path, call: Any
) -> None:
    inner = graph(("first", nothing), ("second", nothing), name="inner", interrupt_before=["second"])
    app = graph(("node", inner), checkpointer=InMemorySaver(), name="outer")
    call(app, QUESTION, config_of(handler))
    call(app, None, config_of(handler))
    stopped, resumed = recorded(tmp_path)
    assert stopped.status == "interrupted"
    assert (stopped.find("node").status, stopped.find("first").status) == ("interrupted", "ok")
    assert set(statuses(resumed).values()) == {"ok"}


@both
def test_a_stream_that_is_read_to_a_breakpoint_is_interrupted(tmp_path: Path, call: Any) -> None:
    handler = PromptLayerCallbackHandler(journal=tmp_path / "journal", runs="all")
    app = graph(("first", nothing), ("second", nothing), checkpointer=InMemorySaver(), interrupt_before=["second"])
    drive: Any = RunnableLambda(lambda sent, config: len(list(app.stream(sent, config))), name="drive")
    call(drive, QUESTION, config_of(handler))
    (root,) = recorded(tmp_path)
    assert statuses(root) == {"drive": "interrupted", "LangGraph": "interrupted", "first": "ok"}


def test_a_handler_that_is_made_before_langgraph_is_imported_learns_of_breakpoints(tmp_path: Path) -> None:
    program = f"""
import sys
from plsync import Journal, PromptLayerCallbackHandler
handler = PromptLayerCallbackHandler(journal={str(tmp_path / "journal")!r})
assert "langgraph" not in sys.modules
from tests.recorder import test_tree_breakpoints as tests
app = tests.graph(("first", tests.nothing), checkpointer=tests.InMemorySaver(), interrupt_before=["first"])
app.invoke(tests.QUESTION, tests.config_of(handler))
with Journal.open({str(tmp_path / "journal")!r}) as journal:
    print(next(journal.trees()).status, handler.failures)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["interrupted", "0"]


def test_a_handler_keeps_its_class_for_copies_and_pickles(
    handler: PromptLayerCallbackHandler, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    app = graph(("first", nothing), checkpointer=InMemorySaver(), interrupt_before=["first"])
    with caplog.at_level(logging.WARNING):
        app.invoke(QUESTION, config_of(handler, "a"))
        assert isinstance(handler, GraphCallbackHandler)
        assert isinstance(handler, PromptLayerCallbackHandler)
        assert copy.deepcopy(handler) is handler
        restored = pickle.loads(pickle.dumps(handler))  # noqa: S301 - the test's own bytes
        assert type(restored) is PromptLayerCallbackHandler
        app.invoke(QUESTION, config_of(restored, "b"))
        app.invoke(None, config_of(restored, "b"))
    assert not caplog.records
    assert [root.status for root in recorded(tmp_path)] == ["interrupted", "interrupted", "ok"]
    assert handler.failures == 0


class Refusing(PromptLayerCallbackHandler):
    """A handler of a program, whose class has rules for subclasses."""

    def __init_subclass__(cls) -> None:
        raise TypeError("no subclasses")


class Noting(PromptLayerCallbackHandler):
    """A handler of a program that receives the interrupts, too."""

    def on_interrupt(self, event: Any) -> None:
        super().on_interrupt(event)
        self.noted = event.status


class Joined(GraphCallbackHandler, PromptLayerCallbackHandler):
    """A handler of a program with LangGraph's class before plsync's."""


@pytest.mark.parametrize(("cls", "status"), [(Refusing, "ok"), (Noting, "interrupted"), (Joined, "ok")])
def test_handlers_of_programs_record_as_before(tmp_path: Path, cls: Any, status: str) -> None:
    handler = cls(journal=tmp_path / "journal")
    app = graph(("first", nothing), checkpointer=InMemorySaver(), interrupt_before=["first"])
    app.invoke(QUESTION, config_of(handler))
    (root,) = recorded(tmp_path)
    assert root.status == status
    assert handler.failures == 0
    assert getattr(handler, "noted", "interrupt_before") == "interrupt_before"


def test_a_handler_of_calls_alone_keeps_its_class(tmp_path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=tmp_path / "journal", runs="llm")
    app = graph(("first", nothing), checkpointer=InMemorySaver(), interrupt_before=["first"])
    app.invoke(QUESTION, config_of(handler))
    assert type(handler) is PromptLayerCallbackHandler
