"""Each edge of LangChain's and LangGraph's callbacks leaves a whole tree, in threads and in a loop."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig, RunnableLambda, RunnablePassthrough
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from plsync import Journal, PromptLayerCallbackHandler
from tests.support.trees import Node, agent_model, both, graph, in_loop, in_thread, needs_task_context, tool_call, trees

QUESTION: Any = {"messages": [("user", "How warm is Paris?")]}
CALL = "FakeListChatModel"


@pytest.fixture
def handler(tmp_path: Path) -> PromptLayerCallbackHandler:
    return PromptLayerCallbackHandler(journal=tmp_path / "journal", runs="tree")


@pytest.fixture
def recorded(handler: PromptLayerCallbackHandler, tmp_path: Path) -> Iterator[Callable[[], list[Node]]]:
    def read() -> list[Node]:
        assert handler.failures == 0
        with Journal.open(tmp_path / "journal") as journal:
            return trees(journal)

    yield read


everywhere = pytest.mark.parametrize("call", [in_thread, in_loop])


def paris() -> FakeListChatModel:
    return FakeListChatModel(responses=["Paris"])


def weather_agent() -> Any:
    @tool
    def temperature(city: str) -> str:
        """The temperature of a city."""
        return f"It is 4 degrees in {city}."

    model = agent_model(tool_call("temperature", city="Paris"), "It is 4 degrees in Paris.")
    return create_agent(model, [temperature], name="forecast")


AGENT = ("forecast", [("model", ["FakeAgentModel"]), ("tools", ["temperature"]), ("model", ["FakeAgentModel"])])


# --- interrupts -------------------------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("is_async", [False, True])
def test_an_interrupted_graph_and_its_resumption_are_two_trees(
    handler: PromptLayerCallbackHandler, recorded: Any, call: Any, is_async: bool
) -> None:
    if is_async and call is in_thread:
        return  # an asynchronous node needs a loop

    def approve(state: MessagesState) -> Any:
        return {"messages": [("user", interrupt({"question": "Really?"}))]}

    async def approve_later(state: MessagesState) -> Any:
        return approve(state)

    app = graph(("approve", approve_later if is_async else approve), checkpointer=InMemorySaver())
    config: RunnableConfig = {"callbacks": [handler], "configurable": {"thread_id": "t1"}}
    call(app, QUESTION, config)
    call(app, Command(resume="yes"), config)
    waiting, resumed = recorded()
    assert [node.status for node in waiting.walk()] == ["interrupted"] * 2
    assert waiting.find("approve").end["error"] is None
    assert [node.status for node in resumed.walk()] == ["ok"] * 2
    assert {root.start["metadata"]["thread_id"] for root in (waiting, resumed)} == {"t1"}


@both
def test_an_interrupt_in_a_subgraph_interrupts_each_graph_above(
    handler: PromptLayerCallbackHandler, recorded: Any, call: Any
) -> None:
    def approve(state: MessagesState) -> Any:
        return {"messages": [("user", interrupt("Really?"))]}

    app = graph(("sub", graph(("approve", approve))), checkpointer=InMemorySaver())
    call(app, QUESTION, {"callbacks": [handler], "configurable": {"thread_id": "t1"}})
    (root,) = recorded()
    assert root.outline() == ("LangGraph", [("sub", [("LangGraph", ["approve"])])])
    assert {node.status for node in root.walk()} == {"interrupted"}


# --- parents ----------------------------------------------------------------------------------------------------------


@everywhere
def test_a_handler_of_the_model_alone_records_calls_without_trees(
    handler: PromptLayerCallbackHandler, recorded: Any, call: Any
) -> None:
    call(FakeListChatModel(responses=["Paris"], callbacks=[handler]) | StrOutputParser(), "?", {})
    (alone,) = recorded()
    assert "root" not in alone.start and alone.start["parent_run_id"] is not None


@needs_task_context
def test_callbacks_that_an_asynchronous_node_passes_again_keep_the_tree(
    handler: PromptLayerCallbackHandler, recorded: Any
) -> None:
    async def approve(state: MessagesState) -> Any:
        return {"messages": [await paris().ainvoke(state["messages"], {"callbacks": [handler]})]}

    in_loop(graph(("approve", approve)), QUESTION, {"callbacks": [handler]})
    (root,) = recorded()
    assert root.outline() == ("LangGraph", [("approve", [CALL])])


@both
def test_callbacks_that_a_node_passes_again_keep_the_tree(
    handler: PromptLayerCallbackHandler, recorded: Any, call: Any
) -> None:
    def approve(state: MessagesState) -> Any:
        return {"messages": [paris().invoke(state["messages"], {"callbacks": [handler]})]}

    call(graph(("approve", approve)), QUESTION, {"callbacks": [handler]})
    (root,) = recorded()
    assert root.outline() == ("LangGraph", [("approve", [CALL])])


@both
def test_an_agent_in_a_node_is_part_of_the_tree(handler: PromptLayerCallbackHandler, recorded: Any, call: Any) -> None:
    agent = weather_agent()
    call(graph(("delegate", lambda state: agent.invoke(QUESTION))), QUESTION, {"callbacks": [handler]})
    (root,) = recorded()
    assert root.outline() == ("LangGraph", [("delegate", [AGENT])])


@needs_task_context
@pytest.mark.parametrize("passes", [False, True])
def test_an_agent_in_an_asynchronous_node_is_part_of_the_tree(
    handler: PromptLayerCallbackHandler, recorded: Any, passes: bool
) -> None:
    agent = weather_agent()

    async def delegate(state: MessagesState, config: RunnableConfig) -> Any:
        return await agent.ainvoke(QUESTION, config if passes else None)

    in_loop(graph(("delegate", delegate)), QUESTION, {"callbacks": [handler]})
    (root,) = recorded()
    assert root.outline() == ("LangGraph", [("delegate", [AGENT])])


def test_a_run_that_receives_the_config_is_part_of_the_tree_in_every_python(
    handler: PromptLayerCallbackHandler, recorded: Any
) -> None:
    async def answer(state: MessagesState, config: RunnableConfig) -> Any:
        return {"messages": [await paris().ainvoke(state["messages"], config)]}

    in_loop(graph(("answer", answer)), QUESTION, {"callbacks": [handler]})
    (root,) = recorded()
    assert root.outline() == ("LangGraph", [("answer", [CALL])])


@both
def test_a_subgraph_is_part_of_the_tree(handler: PromptLayerCallbackHandler, recorded: Any, call: Any) -> None:
    call(graph(("sub", weather_agent())), QUESTION, {"callbacks": [handler]})
    (root,) = recorded()
    assert root.outline() == ("LangGraph", [("sub", [AGENT])])


@everywhere
def test_calls_of_a_bare_thread_are_not_reported(handler: PromptLayerCallbackHandler, recorded: Any, call: Any) -> None:
    def approve(state: MessagesState) -> Any:
        thread = threading.Thread(target=paris().invoke, args=("hi",))
        thread.start()
        thread.join()
        return {}

    call(graph(("approve", approve)), QUESTION, {"callbacks": [handler]})
    (root,) = recorded()
    assert root.outline() == ("LangGraph", ["approve"])


def test_a_thread_that_outlives_its_tree_names_the_tree(handler: PromptLayerCallbackHandler, recorded: Any) -> None:
    go_on, late = threading.Event(), []

    def approve(state: MessagesState) -> Any:
        def later() -> None:
            go_on.wait()
            paris().invoke("hi")

        thread = threading.Thread(target=contextvars.copy_context().run, args=(later,))
        thread.start()
        late.append(thread)
        return {}

    graph(("approve", approve)).invoke(QUESTION, {"callbacks": [handler]})
    go_on.set()
    late[0].join()
    root, call = recorded()
    assert root.outline() == ("LangGraph", ["approve"])
    assert "root" not in call.start and call.start["after"] is not None


@everywhere
def test_a_retriever_and_a_prompt_are_part_of_the_tree(
    handler: PromptLayerCallbackHandler, recorded: Any, call: Any
) -> None:
    class Shelf(BaseRetriever):
        def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
            return [Document("Paris is the capital.")]

        async def _aget_relevant_documents(
            self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
        ) -> list[Document]:
            return [Document("Paris is the capital.")]

    prompt = ChatPromptTemplate.from_template("{context}: {question}")
    chain = {"context": Shelf(), "question": RunnablePassthrough()} | prompt | paris() | StrOutputParser()
    call(chain, "The capital?", {"callbacks": [handler]})
    (root,) = recorded()
    assert {node.kind for node in root.walk()} == {"chain", "prompt", "retriever", "chat", "parser"}
    assert root.find("Shelf").start["input"] == "The capital?"
    assert root.find("Shelf").end["output"][0]["v"]["page_content"] == "Paris is the capital."


# --- parallel runs ----------------------------------------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize("is_async", [False, True])
def test_parallel_nodes_of_which_one_raises_all_end(
    handler: PromptLayerCallbackHandler, recorded: Any, call: Any, is_async: bool
) -> None:
    if is_async and call is in_thread:
        return  # an asynchronous node needs a loop

    def good(state: MessagesState) -> Any:
        return {}

    def bad(state: MessagesState) -> Any:
        raise ValueError("no")

    async def bad_later(state: MessagesState) -> Any:
        await asyncio.sleep(0)
        raise ValueError("no")

    built = StateGraph(MessagesState)
    for name, node in (("good", good), ("bad", bad_later if is_async else bad)):
        built.add_node(name, node)
        built.add_edge(START, name)
    with pytest.raises(ValueError, match="no"):
        call(built.compile(), QUESTION, {"callbacks": [handler]})
    (root,) = recorded()
    assert (root.status, root.find("bad").status) == ("error", "error")
    # In a loop, LangGraph may cancel the other node before it has ended.
    assert root.find("good").status in ("ok", "cancelled")
    assert root.find("bad").end["error"]["message"] == "no"


def test_each_input_of_an_asynchronous_batch_is_a_tree(handler: PromptLayerCallbackHandler, recorded: Any) -> None:
    chain = FakeListChatModel(responses=["Paris", "Rome", "Oslo"]) | StrOutputParser()
    asyncio.run(chain.abatch(["a", "b", "c"], {"callbacks": [handler]}))
    roots = recorded()
    assert [len(root.children) for root in roots] == [2, 2, 2]
    assert {root.start["input"] for root in roots} == {"a", "b", "c"}


# --- streams ----------------------------------------------------------------------------------------------------------


def test_an_asynchronously_streamed_chain_has_its_input_and_output(
    handler: PromptLayerCallbackHandler, recorded: Any
) -> None:
    async def read() -> str:
        chain = paris() | StrOutputParser()
        return "".join([piece async for piece in chain.astream("The capital?", {"callbacks": [handler]})])

    assert asyncio.run(read()) == "Paris"
    (root,) = recorded()
    assert (root.end["input"], root.end["output"]) == ("The capital?", "Paris")


def slow_model() -> FakeListChatModel:
    return FakeListChatModel(responses=["Paris is the capital of France."], sleep=0.001)


def test_a_stream_whose_reader_leaves_ends_with_all_its_runs(
    handler: PromptLayerCallbackHandler, recorded: Any
) -> None:
    chain = (slow_model() | StrOutputParser()).with_config(run_name="chain")
    stream = chain.stream("The capital?", {"callbacks": [handler]})
    assert next(stream)
    stream.close()  # type: ignore[attr-defined]
    (root,) = recorded()
    # LangChain reads the stream to its end, and reports no error.
    assert {node.status for node in root.walk()} == {"ok"}


def test_a_graph_whose_reader_leaves_ends_with_all_its_runs(handler: PromptLayerCallbackHandler, recorded: Any) -> None:
    model = slow_model()
    app = graph(("answer", lambda state: {"messages": [model.invoke(state["messages"])]}))
    stream = app.stream(QUESTION, {"callbacks": [handler]}, stream_mode="messages")
    assert next(stream)
    stream.close()
    (root,) = recorded()
    assert root.status in ("partial", "cancelled")
    assert "pending" not in {node.status for node in root.walk()}


@pytest.mark.parametrize("leaves", ["break", "cancel"])
def test_an_asynchronous_stream_that_is_left_or_cancelled_ends_with_all_its_runs(
    handler: PromptLayerCallbackHandler, recorded: Any, leaves: str
) -> None:
    model = slow_model()

    async def answer(state: MessagesState, config: RunnableConfig) -> Any:
        return {"messages": [await model.ainvoke(state["messages"], config)]}

    async def read() -> None:
        first = asyncio.Event()
        stream = graph(("answer", answer)).astream(QUESTION, {"callbacks": [handler]}, stream_mode="messages")

        async def consume() -> None:
            async for _ in stream:
                first.set()
                if leaves == "break":
                    break
            await stream.aclose()

        task = asyncio.create_task(consume())
        await first.wait()
        if leaves == "cancel":
            task.cancel()
        await asyncio.wait([task])

    asyncio.run(read())
    (root,) = recorded()
    assert root.status in ("partial", "cancelled")
    assert {node.status for node in root.walk()} <= {"partial", "cancelled"}


def test_a_cancelled_chain_ends_with_all_its_runs(handler: PromptLayerCallbackHandler, recorded: Any) -> None:
    async def run() -> None:
        reached = asyncio.Event()

        async def wait(text: str) -> str:
            reached.set()
            await asyncio.Event().wait()
            return text

        chain = RunnableLambda(str.upper, name="first") | RunnableLambda(wait, name="wait")
        task = asyncio.create_task(chain.ainvoke("four", {"callbacks": [handler]}))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    (root,) = recorded()
    assert [node.status for node in root.walk()] == ["cancelled", "ok", "cancelled"]
