"""The trees of LangChain's runnables: retries, fallbacks, batches, closed streams, groups of tasks, threads, forks."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest
from langchain.agents import create_agent
from langchain.agents.middleware import AgentMiddleware
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.runnables import RunnableGenerator, RunnableLambda, RunnableParallel
from langchain_core.runnables.config import ContextThreadPoolExecutor
from langchain_core.tools import tool
from langgraph.graph import START, StateGraph
from langgraph.types import RetryPolicy, Send

from plsync import Journal, PromptLayerCallbackHandler
from tests.support.trees import Node, agent_model, both, graph, in_loop, needs_task_context, tool_call, trees

QUESTION: Any = {"messages": [("user", "The capital?")]}
CALL = "FakeListChatModel"


@pytest.fixture
def handler(tmp_path: Path) -> PromptLayerCallbackHandler:
    return PromptLayerCallbackHandler(journal=tmp_path / "journal")


@pytest.fixture
def recorded(handler: PromptLayerCallbackHandler, tmp_path: Path) -> Any:
    def read() -> list[Node]:
        assert handler.failures == 0
        with Journal.open(tmp_path / "journal") as journal:
            found = trees(journal)
            assert journal.check().problems == []
        assert all(node.status != "pending" for root in found for node in root.walk())
        return found

    return read


def paris(**settings: Any) -> FakeListChatModel:
    return FakeListChatModel(responses=["Paris"], **settings)


class Slow(FakeListChatModel):
    """A model that never answers in a loop."""

    async def _agenerate(self, *args: Any, **kwargs: Any) -> Any:
        await asyncio.Event().wait()


def refuse(text: Any) -> Any:
    raise ValueError("no")


def outcome(root: Node) -> Any:
    """The names and statuses of the run and of its descendants."""
    own = f"{root.name} {root.status}"
    return (own, [outcome(child) for child in root.children]) if root.children else own


class Items(TypedDict):
    items: Annotated[list[Any], lambda known, new: known + new]


@both
def test_each_attempt_of_a_node_has_its_calls(handler: PromptLayerCallbackHandler, recorded: Any, call: Any) -> None:
    attempts: list[int] = []

    def flaky(state: Items) -> Any:
        attempts.append(1)
        paris().invoke("?")
        if len(attempts) < 3:
            raise ConnectionError("again")
        return {"items": [1]}

    built = StateGraph(Items)
    built.add_node("flaky", flaky, retry_policy=RetryPolicy(initial_interval=0.001, jitter=False))
    built.add_edge(START, "flaky")
    call(built.compile(), {"items": []}, {"callbacks": [handler]})
    (root,) = recorded()
    failed, done = ("flaky error", [f"{CALL} ok"]), ("flaky ok", [f"{CALL} ok"])
    assert outcome(root) == ("LangGraph ok", [failed, failed, done])


@both
def test_a_hundred_sent_nodes_are_children_of_one_graph(
    handler: PromptLayerCallbackHandler, recorded: Any, call: Any
) -> None:
    built = StateGraph(Items)
    built.add_node("plan", lambda state: {"items": []})
    built.add_node("work", lambda state: {"items": [paris().invoke(str(state)).content]})
    built.add_edge(START, "plan")
    built.add_conditional_edges("plan", lambda state: [Send("work", {"items": [n]}) for n in range(100)], ["work"])
    call(built.compile(), {"items": []}, {"callbacks": [handler]})
    (root,) = recorded()
    works = [child for child in root.children if child.name == "work"]
    assert len(works) == 100
    assert {child.outline()[1][0] for child in works} == {CALL}


@both
def test_a_retried_chain_has_each_attempt(handler: PromptLayerCallbackHandler, recorded: Any, call: Any) -> None:
    attempts: list[int] = []

    def flaky(text: str) -> str:
        attempts.append(1)
        return refuse(text) if len(attempts) < 2 else text

    chain = (RunnableLambda(flaky, name="flaky") | paris()).with_retry(wait_exponential_jitter=False)
    call(chain, "?", {"callbacks": [handler]})
    (root,) = recorded()
    first = ("RunnableSequence error", ["flaky error"])
    second = ("RunnableSequence ok", ["flaky ok", f"{CALL} ok"])
    assert outcome(root) == ("RunnableSequence ok", [first, second])


def test_a_streamed_fallback_is_part_of_the_tree(handler: PromptLayerCallbackHandler, recorded: Any) -> None:
    chain = RunnableLambda(refuse, name="refuse").with_fallbacks([paris()])
    assert list(chain.stream("?", {"callbacks": [handler]}))
    chain.batch(["a", "b"], {"callbacks": [handler]})
    expected = ("RunnableWithFallbacks ok", ["refuse error", f"{CALL} ok"])
    assert [outcome(root) for root in recorded()] == [expected] * 3


@both
def test_a_fallback_in_a_chain_is_part_of_the_tree(
    handler: PromptLayerCallbackHandler, recorded: Any, call: Any
) -> None:
    chain = RunnableLambda(refuse, name="refuse").with_fallbacks([paris()]) | StrOutputParser()
    call(chain, "?", {"callbacks": [handler]})
    (root,) = recorded()
    # LangChain names the chain as the parent of each attempt.
    assert [child.name for child in root.children] == ["RunnableWithFallbacks", "refuse", CALL, "StrOutputParser"]
    assert [child.status for child in root.children] == ["ok", "error", "ok", "ok"]


def test_one_branch_that_fails_cancels_its_siblings_in_a_loop(
    handler: PromptLayerCallbackHandler, recorded: Any
) -> None:
    async def fail(text: str) -> str:
        await asyncio.sleep(0)
        return str(refuse(text))

    branches = RunnableParallel(slow=Slow(responses=["x"]), fail=RunnableLambda(fail, name="fail"))
    with pytest.raises(ValueError, match="no"):
        in_loop(branches, "?", {"callbacks": [handler]})
    (root,) = recorded()
    assert outcome(root) == ("RunnableParallel<slow,fail> error", ["Slow cancelled", "fail error"])


@pytest.mark.skipif(sys.version_info < (3, 11), reason="asyncio.TaskGroup")
@pytest.mark.parametrize("catches", [False, True])
def test_the_runs_that_a_group_of_tasks_cancels_end(
    handler: PromptLayerCallbackHandler, recorded: Any, catches: bool
) -> None:
    async def fail(text: str) -> str:
        await asyncio.sleep(0)
        return str(refuse(text))

    async def group(text: str) -> str:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task((Slow(responses=["x"]) | StrOutputParser()).ainvoke(text))
                tasks.create_task(RunnableLambda(fail, name="fail").ainvoke(text))
        except Exception:
            if not catches:
                raise
        return text

    try:
        in_loop(RunnableLambda(group, name="group"), "?", {"callbacks": [handler]})
    except Exception:
        assert not catches
    (root,) = recorded()
    cancelled = ("RunnableSequence cancelled", ["Slow cancelled"])
    assert outcome(root) == (f"group {'ok' if catches else 'error'}", [cancelled, "fail error"])


@pytest.mark.parametrize("as_completed", [False, True])
def test_the_inputs_of_a_batch_fail_alone(
    handler: PromptLayerCallbackHandler, recorded: Any, as_completed: bool
) -> None:
    chain = RunnableLambda(lambda text: refuse(text) if text == "b" else text, name="check") | paris()
    config: Any = {"callbacks": [handler]}
    if as_completed:
        list(chain.batch_as_completed(["a", "b", "c"], config, return_exceptions=True))
    else:
        chain.batch(["a", "b", "c"], config, return_exceptions=True)
    roots = {root.start["input"]: outcome(root) for root in recorded()}
    done = ("RunnableSequence ok", ["check ok", f"{CALL} ok"])
    assert roots == {"a": done, "b": ("RunnableSequence error", ["check error"]), "c": done}


def test_the_inputs_of_an_asynchronous_batch_fail_alone(handler: PromptLayerCallbackHandler, recorded: Any) -> None:
    async def run() -> None:
        chain = RunnableLambda(lambda text: refuse(text) if text == "b" else text, name="check") | paris()
        config: Any = {"callbacks": [handler]}
        async for _ in chain.abatch_as_completed(["a", "b", "c"], config, return_exceptions=True):
            pass

    asyncio.run(run())
    assert sorted(root.status for root in recorded()) == ["error", "ok", "ok"]


@needs_task_context
@pytest.mark.parametrize("closes", [False, True])
def test_streamed_events_that_are_left_end_all_runs(
    handler: PromptLayerCallbackHandler, recorded: Any, closes: bool
) -> None:
    async def run() -> None:
        app = graph(("answer", lambda state: {"messages": [paris(sleep=0.001).invoke(state["messages"])]}))
        events = app.astream_events(QUESTION, {"callbacks": [handler]}, version="v2")
        async for event in events:
            if closes and event["event"] == "on_chat_model_stream":
                break
        await events.aclose()

    asyncio.run(run())
    (root,) = recorded()
    assert root.outline() == ("LangGraph", [("answer", [CALL])])
    assert root.status == ("cancelled" if closes else "ok")


def test_a_chain_whose_stream_is_closed_ends_all_runs(handler: PromptLayerCallbackHandler, recorded: Any) -> None:
    async def run() -> None:
        chain = (paris(sleep=0.001) | StrOutputParser()).with_config(run_name="chain")
        stream: Any = chain.astream("?", {"callbacks": [handler]})
        async for _ in stream:
            break
        await stream.aclose()

    asyncio.run(run())
    (root,) = recorded()
    assert outcome(root) == ("chain partial", [f"{CALL} partial", "StrOutputParser cancelled"])


def test_a_generator_that_is_closed_ends(handler: PromptLayerCallbackHandler, recorded: Any) -> None:
    def twice(pieces: Iterator[str]) -> Iterator[str]:
        for piece in pieces:
            yield piece
            yield piece

    stream: Any = (RunnableGenerator(twice, name="twice") | StrOutputParser()).stream("a", {"callbacks": [handler]})
    next(stream)
    stream.close()
    (root,) = recorded()
    assert {node.name for node in root.walk()} == {"RunnableSequence", "twice", "StrOutputParser"}


@pytest.mark.parametrize("pool", [ThreadPoolExecutor, ContextThreadPoolExecutor])
def test_the_calls_in_threads_of_a_tool_belong_to_it_if_langchain_reports_them(
    handler: PromptLayerCallbackHandler, recorded: Any, pool: type[ThreadPoolExecutor]
) -> None:
    @tool
    def search(query: str) -> str:
        """Searches."""
        with pool(2) as threads:
            return str(list(threads.map(lambda number: paris().invoke(str(number)).content, range(3))))

    agent: Any = create_agent(agent_model(tool_call("search", query="?"), "done"), [search], name="agent")
    agent.invoke(QUESTION, {"callbacks": [handler]})
    (root,) = recorded()
    expected = [CALL] * 3 if pool is ContextThreadPoolExecutor else []
    assert [child.name for child in root.find("search").children] == expected


def test_a_handler_in_the_config_and_in_the_model_records_once(
    handler: PromptLayerCallbackHandler, recorded: Any, tmp_path: Path
) -> None:
    same = PromptLayerCallbackHandler(journal=tmp_path / "journal")
    for attached in (handler, same):
        (paris(callbacks=[attached]) | StrOutputParser()).invoke("?", {"callbacks": [handler]})
    assert [outcome(root) for root in recorded()] == [("RunnableSequence ok", [f"{CALL} ok", "StrOutputParser ok"])] * 2


def test_handlers_of_two_journals_record_separate_trees(
    handler: PromptLayerCallbackHandler, recorded: Any, tmp_path: Path
) -> None:
    other = PromptLayerCallbackHandler(journal=tmp_path / "other")
    (paris() | StrOutputParser()).invoke("?", {"callbacks": [handler, other]})
    (paris(callbacks=[other]) | StrOutputParser()).invoke("?", {"callbacks": [handler]})
    whole = ("RunnableSequence", [CALL, "StrOutputParser"])
    assert [root.outline() for root in recorded()] == [whole, whole]
    with Journal.open(tmp_path / "other") as journal:
        assert [root.outline() for root in trees(journal)] == [whole, CALL]


@both
def test_the_calls_of_middleware_belong_to_its_node(
    handler: PromptLayerCallbackHandler, recorded: Any, call: Any
) -> None:
    class Checks(AgentMiddleware):
        def before_model(self, state: Any, runtime: Any) -> None:
            return None

        def wrap_model_call(self, request: Any, respond: Any) -> Any:
            paris().invoke("Is that allowed?")
            return respond(request)

        async def awrap_model_call(self, request: Any, respond: Any) -> Any:
            await paris().ainvoke("Is that allowed?")
            return await respond(request)

    agent: Any = create_agent(agent_model("done"), [], name="agent", middleware=[Checks()])
    call(agent, QUESTION, {"callbacks": [handler]})
    (root,) = recorded()
    assert root.outline() == ("agent", ["Checks.before_model", ("model", [CALL, "FakeAgentModel"])])


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
@pytest.mark.parametrize("leaves", ["exits", "fails", "returns"])
def test_a_child_of_a_tool_ends_no_run_of_its_parent(
    handler: PromptLayerCallbackHandler, recorded: Any, leaves: str
) -> None:
    parent = os.getpid()

    @tool
    def delegate(city: str) -> str:
        """Calls a model in another process."""
        if (child := os.fork()) == 0:
            paris().invoke(city)
            if leaves == "exits":
                sys.exit(0)
            return city if leaves == "returns" else str(refuse(city))
        os.waitpid(child, 0)
        return "done"

    chain = RunnableLambda(lambda city: delegate.invoke({"city": city}), name="chain")
    try:
        chain.invoke("Paris", {"callbacks": [handler]})
    finally:
        if os.getpid() != parent:
            os._exit(0)
    (root,) = recorded()
    assert outcome(root) == ("chain ok", [("delegate ok", [f"{CALL} ok"])])
    assert root.find("delegate").end["output"] == "done"
