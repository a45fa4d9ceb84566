"""Runs become trees: chains, tools, retrievers and calls under one root, as LangChain and LangGraph report them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.callbacks import CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import RunnableConfig, RunnableLambda, RunnablePassthrough
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.types import Command, interrupt

from plsync import Journal, PromptLayerCallbackHandler
from tests.support.trees import Node, agent_model, graph, needs_task_context, tool_call, trees


@tool
def temperature(city: str) -> str:
    """The temperature of a city."""
    return f"It is 4 degrees in {city}."


@pytest.fixture
def handler(tmp_path: Path) -> PromptLayerCallbackHandler:
    return PromptLayerCallbackHandler(journal=tmp_path / "journal", runs="tree")


@pytest.fixture
def recorded(handler: PromptLayerCallbackHandler, tmp_path: Path) -> Iterator[Any]:
    def read() -> list[Node]:
        assert handler.failures == 0
        with Journal.open(tmp_path / "journal") as journal:
            return trees(journal)

    yield read


def weather_agent() -> Any:
    model = agent_model(tool_call("temperature", city="Paris"), "It is 4 degrees in Paris.")
    return create_agent(model, [temperature], name="forecast")


AGENT_OUTLINE = (
    "forecast",
    [("model", ["FakeAgentModel"]), ("tools", ["temperature"]), ("model", ["FakeAgentModel"])],
)


def test_an_agent_is_one_tree(handler: PromptLayerCallbackHandler, recorded: Any) -> None:
    weather_agent().invoke({"messages": [("user", "How warm is Paris?")]}, {"callbacks": [handler]})
    (root,) = recorded()
    assert root.outline() == AGENT_OUTLINE
    assert {node.status for node in root.walk()} == {"ok"}


@needs_task_context
async def test_an_agent_that_runs_in_a_loop_is_one_tree(handler: PromptLayerCallbackHandler, recorded: Any) -> None:
    await weather_agent().ainvoke({"messages": [("user", "How warm is Paris?")]}, {"callbacks": [handler]})
    (root,) = recorded()
    assert root.outline() == AGENT_OUTLINE


@needs_task_context
async def test_a_streamed_agent_is_one_tree(handler: PromptLayerCallbackHandler, recorded: Any) -> None:
    question = {"messages": [("user", "How warm is Paris?")]}
    async for _ in weather_agent().astream(question, {"callbacks": [handler]}, stream_mode="messages"):
        pass
    (root,) = recorded()
    assert root.outline() == AGENT_OUTLINE


def test_a_tool_has_its_arguments_and_its_output(handler: PromptLayerCallbackHandler, recorded: Any) -> None:
    weather_agent().invoke({"messages": [("user", "How warm is Paris?")]}, {"callbacks": [handler]})
    (root,) = recorded()
    used = root.find("temperature")
    assert (used.kind, used.start["input"], used.start["tool_call_id"]) == ("tool", {"city": "Paris"}, "call_1")
    assert used.end["output"]["v"]["content"] == "It is 4 degrees in Paris."


def test_the_root_alone_of_the_chains_has_input_and_output(handler: PromptLayerCallbackHandler, recorded: Any) -> None:
    weather_agent().invoke({"messages": [("user", "How warm is Paris?")]}, {"callbacks": [handler]})
    (root,) = recorded()
    assert root.start["input"]["messages"] and root.end["output"]["messages"]
    model = root.find("model")
    assert model.start["input_keys"] == ["messages"]
    assert "input" not in model.start and "output" not in model.end


def test_the_output_does_not_repeat_the_messages_of_the_input(
    handler: PromptLayerCallbackHandler, recorded: Any
) -> None:
    history = [HumanMessage("How warm is Rome?"), AIMessage("20 degrees."), HumanMessage("And Paris?")]
    weather_agent().invoke({"messages": history}, {"callbacks": [handler]})
    (root,) = recorded()
    assert root.end["from_input"] == {"messages": 3}
    assert [message["$"] for message in root.end["output"]["messages"]] == ["AIMessage", "ToolMessage", "AIMessage"]


def test_all_records_the_input_and_output_of_each_chain(tmp_path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=tmp_path / "journal", runs="all")
    weather_agent().invoke({"messages": [("user", "How warm is Paris?")]}, {"callbacks": [handler]})
    with Journal.open(tmp_path / "journal") as journal:
        (root,) = trees(journal)
    assert root.find("model").start["input"]["messages"] and root.find("model").end["output"]


def test_llm_records_calls_alone(tmp_path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=tmp_path / "journal", runs="llm")
    weather_agent().invoke({"messages": [("user", "How warm is Paris?")]}, {"callbacks": [handler]})
    with Journal.open(tmp_path / "journal") as journal:
        assert [root.outline() for root in trees(journal)] == ["FakeAgentModel", "FakeAgentModel"]


class Shelf(BaseRetriever):
    def _get_relevant_documents(self, query: str, *, run_manager: CallbackManagerForRetrieverRun) -> list[Document]:
        return [Document("Paris is the capital.", metadata={"source": "atlas"})]


def test_a_chain_of_a_retriever_and_a_prompt_is_one_tree(handler: PromptLayerCallbackHandler, recorded: Any) -> None:
    prompt = ChatPromptTemplate.from_template("{context}: {question}")
    model = FakeListChatModel(responses=["Paris"])
    chain = {"context": Shelf(), "question": RunnablePassthrough()} | prompt | model | StrOutputParser()
    chain.invoke("The capital?", {"callbacks": [handler]})
    (root,) = recorded()
    assert (root.start["input"], root.end["output"]) == ("The capital?", "Paris")
    assert {node.kind for node in root.walk()} == {"chain", "prompt", "retriever", "chat", "parser"}
    shelf = root.find("Shelf")
    assert shelf.start["input"] == "The capital?"
    assert shelf.end["output"][0]["v"]["page_content"] == "Paris is the capital."


def test_the_input_of_a_streamed_chain_is_recorded_at_its_end(
    handler: PromptLayerCallbackHandler, recorded: Any
) -> None:
    chain = FakeListChatModel(responses=["Paris"]) | StrOutputParser()
    assert "".join(chain.stream("The capital?", {"callbacks": [handler]})) == "Paris"
    (root,) = recorded()
    assert (root.end["input"], root.end["output"]) == ("The capital?", "Paris")


def test_each_input_of_a_batch_is_a_tree(handler: PromptLayerCallbackHandler, recorded: Any) -> None:
    chain = FakeListChatModel(responses=["Paris", "Rome", "Oslo"]) | StrOutputParser()
    chain.batch(["a", "b", "c"], {"callbacks": [handler]})
    roots = recorded()
    assert [len(root.children) for root in roots] == [2, 2, 2]
    assert {root.start["input"] for root in roots} == {"a", "b", "c"}


def test_a_call_outside_a_chain_has_no_tree(handler: PromptLayerCallbackHandler, recorded: Any) -> None:
    FakeListChatModel(responses=["Paris"]).invoke("The capital?", {"callbacks": [handler]})
    (call,) = recorded()
    assert "root" not in call.start and "root" not in call.start


def test_a_call_of_an_unrecorded_chain_has_no_tree(handler: PromptLayerCallbackHandler, recorded: Any) -> None:
    model = FakeListChatModel(responses=["Paris"], callbacks=[handler])
    (model | StrOutputParser()).invoke("The capital?")
    (call,) = recorded()
    assert call.start["parent_run_id"] is not None
    assert "root" not in call.start


def test_a_node_that_passes_its_callbacks_again_keeps_its_tree(
    handler: PromptLayerCallbackHandler, recorded: Any
) -> None:
    model = FakeListChatModel(responses=["Paris"])

    def approve(state: MessagesState) -> Any:
        return {"messages": [model.invoke(state["messages"], {"callbacks": [handler]})]}

    graph(("approve", approve)).invoke({"messages": [("user", "hi")]}, {"callbacks": [handler]})
    (root,) = recorded()
    assert root.outline() == ("LangGraph", [("approve", ["FakeListChatModel"])])


def test_a_graph_in_a_node_is_part_of_the_tree(handler: PromptLayerCallbackHandler, recorded: Any) -> None:
    agent = weather_agent()

    def delegate(state: MessagesState) -> Any:
        return agent.invoke({"messages": state["messages"]})

    graph(("delegate", delegate)).invoke({"messages": [("user", "hi")]}, {"callbacks": [handler]})
    (root,) = recorded()
    assert root.outline() == ("LangGraph", [("delegate", [AGENT_OUTLINE])])


def test_a_subgraph_is_part_of_the_tree(handler: PromptLayerCallbackHandler, recorded: Any) -> None:
    graph(("sub", weather_agent())).invoke({"messages": [("user", "hi")]}, {"callbacks": [handler]})
    (root,) = recorded()
    assert root.outline() == ("LangGraph", [("sub", [AGENT_OUTLINE])])


def test_calls_of_a_bare_thread_are_not_reported(handler: PromptLayerCallbackHandler, recorded: Any) -> None:
    model = FakeListChatModel(responses=["Paris"])

    def approve(state: MessagesState) -> Any:
        thread = threading.Thread(target=model.invoke, args=("hi",))
        thread.start()
        thread.join()
        return {}

    graph(("approve", approve)).invoke({"messages": [("user", "hi")]}, {"callbacks": [handler]})
    (root,) = recorded()
    assert root.outline() == ("LangGraph", ["approve"])


def _approval() -> Any:
    def approve(state: MessagesState) -> Any:
        return {"messages": [("user", interrupt({"question": "Really?"}))]}

    return graph(("approve", approve), checkpointer=InMemorySaver())


def test_a_graph_that_waits_for_a_person_is_interrupted(handler: PromptLayerCallbackHandler, recorded: Any) -> None:
    config: RunnableConfig = {"callbacks": [handler], "configurable": {"thread_id": "t1"}}
    app = _approval()
    app.invoke({"messages": [("user", "Delete it")]}, config)
    app.invoke(Command(resume="yes"), config)
    waiting, resumed = recorded()
    assert [node.status for node in waiting.walk()] == ["interrupted", "interrupted"]
    assert waiting.find("approve").end["error"] is None
    assert [node.status for node in resumed.walk()] == ["ok", "ok"]


def test_parallel_nodes_of_which_one_fails_all_end(handler: PromptLayerCallbackHandler, recorded: Any) -> None:
    def good(state: MessagesState) -> Any:
        return {}

    def bad(state: MessagesState) -> Any:
        raise ValueError("no")

    built = StateGraph(MessagesState)
    for name, node in (("good", good), ("bad", bad)):
        built.add_node(name, node)
        built.add_edge(START, name)
    app: Any = built.compile()
    with pytest.raises(ValueError, match="no"):
        app.invoke({"messages": [("user", "hi")]}, {"callbacks": [handler]})
    (root,) = recorded()
    assert (root.status, root.find("bad").status, root.find("good").status) == ("error", "error", "ok")
    assert root.find("bad").end["error"]["message"] == "no"


@needs_task_context
async def test_a_cancelled_agent_ends_with_all_its_runs(handler: PromptLayerCallbackHandler, recorded: Any) -> None:
    reached = asyncio.Event()

    @tool
    async def wait() -> str:
        """Waits without end."""
        reached.set()
        await asyncio.Event().wait()
        return ""

    agent: Any = create_agent(agent_model(tool_call("wait"), "done"), [wait], name="waiter")
    task = asyncio.create_task(agent.ainvoke({"messages": [("user", "hi")]}, {"callbacks": [handler]}))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (root,) = recorded()
    statuses = {node.name: node.status for node in root.walk()}
    assert [name for name, status in statuses.items() if status == "cancelled"] == ["waiter", "tools", "wait"]
    assert (statuses["model"], statuses["FakeAgentModel"]) == ("ok", "ok")


async def test_a_call_that_starts_after_its_tree_names_the_tree(
    handler: PromptLayerCallbackHandler, recorded: Any
) -> None:
    model = FakeListChatModel(responses=["Paris"])
    go_on, late = asyncio.Event(), []

    async def approve(state: MessagesState, config: RunnableConfig) -> Any:
        async def later() -> None:
            await go_on.wait()
            await model.ainvoke("hi", config)

        late.append(asyncio.create_task(later()))
        return {}

    await graph(("approve", approve)).ainvoke({"messages": [("user", "hi")]}, {"callbacks": [handler]})
    go_on.set()
    await late[0]
    root, call = recorded()
    assert root.outline() == ("LangGraph", ["approve"])
    assert "root" not in call.start and call.start["after"] is not None


def test_a_lambda_that_ends_first_keeps_the_names_of_its_chain(
    handler: PromptLayerCallbackHandler, recorded: Any
) -> None:
    chain = RunnableLambda(lambda text: text).with_config(run_name="first") | RunnableLambda(len)
    chain.with_config(run_name="chain").invoke("four", {"callbacks": [handler], "tags": ["t"], "metadata": {"u": 1}})
    (root,) = recorded()
    assert root.outline() == ("chain", ["first", "len"])
    assert root.start["metadata"] == {"u": 1}
    assert root.find("first").start["metadata"] == {}


CARD = "4929-1234"


@pytest.mark.parametrize("content", [False, True])
def test_content_of_a_tree_that_must_not_be_kept_is_not_kept(tmp_path: Path, content: bool) -> None:
    def bare(event: dict[str, Any]) -> None:
        return None

    hidden: Any = {"redact": bare} if content else {"content": False}
    handler = PromptLayerCallbackHandler(journal=tmp_path / "journal", runs="all", **hidden)

    @tool
    def pay(card: str) -> str:
        """Pays."""
        raise ValueError(f"{card} has expired")

    def fallback(state: MessagesState) -> Any:
        return {"messages": [("user", interrupt({"card": CARD}))]}

    agent: Any = create_agent(agent_model(tool_call("pay", card=CARD), CARD), [pay], name=f"agent {CARD}")
    config: Any = {"callbacks": [handler], "metadata": {"card": CARD}, "configurable": {"thread_id": "t"}}
    with pytest.raises(ValueError, match="expired"):
        agent.invoke({"messages": [("user", CARD)]}, config)
    graph(("fallback", fallback), checkpointer=InMemorySaver()).invoke({"messages": [("user", CARD)]}, config)
    assert handler.failures == 0
    spool = b"".join(path.read_bytes() for path in (tmp_path / "journal" / "spool").iterdir())
    assert b"t" in spool and CARD.encode() not in spool
    with Journal.open(tmp_path / "journal") as journal:
        statuses = [root.status for root in trees(journal)]
    assert statuses == ["error", "interrupted"]
