"""Graphs and agents for tests, and the trees that they leave in a journal."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langgraph.graph import END, START, MessagesState, StateGraph

from plsync import Journal

needs_task_context: Final = pytest.mark.skipif(
    sys.version_info < (3, 11),
    reason="before Python 3.11 a run in an asynchronous node of LangGraph needs the config",
)


def in_thread(app: Any, sent: Any, config: Any) -> Any:
    return app.invoke(sent, config)


def in_loop(app: Any, sent: Any, config: Any) -> Any:
    """LangGraph runs plain nodes of an asynchronous graph in threads."""
    return asyncio.run(app.ainvoke(sent, config))


both: Final = pytest.mark.parametrize("call", [in_thread, pytest.param(in_loop, marks=needs_task_context)])


class FakeAgentModel(BaseChatModel):
    """Returns its messages in turn, and accepts tools."""

    answers: list[Any]

    @property
    def _llm_type(self) -> str:
        return "fake"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self

    def _generate(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self.answers.pop(0))])


def agent_model(*answers: BaseMessage | str) -> FakeAgentModel:
    return FakeAgentModel(answers=[AIMessage(text) if isinstance(text, str) else text for text in answers])


def tool_call(name: str, call_id: str = "call_1", **arguments: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": call_id, "type": "tool_call"}])


def graph(*nodes: tuple[str, Callable[..., Any]], **compiled: Any) -> Any:
    """A graph whose nodes follow each other."""
    built = StateGraph(MessagesState)
    before = START
    for name, node in nodes:
        built.add_node(name, node)
        built.add_edge(before, name)
        before = name
    built.add_edge(before, END)
    return built.compile(**compiled)


@dataclass
class Node:
    """A recorded run with its children."""

    name: str
    kind: str
    status: str
    start: dict[str, Any]
    end: dict[str, Any]
    children: list[Node] = field(default_factory=list)

    def outline(self) -> Any:
        """The names of the run and of its descendants."""
        return (self.name, [child.outline() for child in self.children]) if self.children else self.name

    def walk(self) -> Iterable[Node]:
        yield self
        for child in self.children:
            yield from child.walk()

    def find(self, name: str) -> Node:
        return next(node for node in self.walk() if node.name == name)


def trees(journal: Journal) -> list[Node]:
    """The trees of a journal, oldest first. A call outside trees is a separate tree."""
    nodes: dict[str, Node] = {}
    roots = []
    for record in journal.records(oldest_first=True, runs=True):
        start, end = record.events()
        node = Node(record.name or "", record.kind, record.status, start, end)
        nodes[record.id] = node
        parent = record.parent_id
        if parent is None:
            roots.append(node)
        else:
            nodes[parent].children.append(node)
    return roots
