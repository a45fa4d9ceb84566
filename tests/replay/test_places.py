"""Equal requests of parallel tasks receive the answers of their tasks, in any order of the threads."""

from __future__ import annotations

import operator
import threading
import time
from pathlib import Path
from typing import Annotated, Any

import pytest
from langchain_core.callbacks import CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel, FakeListChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import RunnableParallel
from langgraph.func import entrypoint, task
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from typing_extensions import TypedDict

from plsync.replay import record_all
from tests.support.replaying import lines

REPLAYS = 25
TASKS = 4


class State(TypedDict):
    answers: Annotated[list[str], operator.add]


class Counting(BaseChatModel):
    """Answers with a number that rises, while all tasks wait for each other."""

    barrier: Any
    numbers: Any

    @property
    def _llm_type(self) -> str:
        return "counting"

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: Any = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **_: Any,
    ) -> ChatResult:
        self.barrier.wait(20)
        return ChatResult(generations=[ChatGeneration(message=AIMessage(str(next(self.numbers))))])


def counting(calls: int) -> Counting:
    return Counting(barrier=threading.Barrier(calls), numbers=iter(range(calls)))


def sends(model: BaseChatModel, delays: list[float]) -> list[str]:
    """The answers to one prompt in the tasks of ``Send``; each task waits before its call."""

    def vote(state: dict[str, float]) -> State:
        time.sleep(state["delay"])
        return {"answers": [str(model.invoke("Vote.").content)]}

    graph: Any = StateGraph(State)
    graph.add_node("vote", vote)
    graph.add_conditional_edges(START, lambda _: [Send("vote", {"delay": delay}) for delay in delays])
    graph.add_edge("vote", END)
    return graph.compile().invoke({"answers": []})["answers"]  # type: ignore[no-any-return]


def test_the_tasks_of_send_receive_their_answers_in_every_replay(tmp_path: Path) -> None:
    path = tmp_path / "votes.jsonl"
    delays = [0.0] * TASKS
    with record_all(path, mode="once"):
        live = sends(counting(TASKS), delays)
    assert sorted(live) == sorted(map(str, range(TASKS)))
    assert {line["place"] for line in lines(path)} == {f"vote[{number}]" for number in range(TASKS)}
    dead = FakeListChatModel(responses=[])
    for number in range(REPLAYS):
        # Another task is the last one in each replay.
        delays = [0.002 if task == number % TASKS else 0.0 for task in range(TASKS)]
        with record_all(path):
            assert sends(dead, delays) == live


def nodes(model: BaseChatModel) -> Any:
    graph: Any = StateGraph(State)
    for name in ("first", "second"):
        graph.add_node(name, lambda _, name=name: {"answers": [f"{name} {model.invoke('Vote.').content}"]})
        graph.add_edge(START, name)
    return sorted(graph.compile().invoke({"answers": []})["answers"])


def functions(model: BaseChatModel) -> Any:
    @task
    def vote(number: int) -> str:
        return f"{number} {model.invoke('Vote.').content}"

    @entrypoint()
    def votes(_: Any) -> list[str]:
        votes_made = [vote(number) for number in range(2)]
        return [one.result() for one in votes_made]

    return votes.invoke("go")


def branches(model: BaseChatModel) -> Any:
    return {name: one.content for name, one in RunnableParallel(a=model, b=model).invoke("Vote.").items()}


@pytest.mark.parametrize("run", [nodes, functions, branches])
def test_parallel_nodes_tasks_and_branches_receive_their_answers(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "votes.jsonl"
    with record_all(path, mode="once"):
        live = run(counting(2))
    for _ in range(5):
        with record_all(path):
            assert run(FakeListChatModel(responses=[])) == live


def test_a_recording_made_again_keeps_the_order_of_equal_requests(tmp_path: Path) -> None:
    path = tmp_path / "votes.jsonl"
    places = []
    for mode in ("once", "all", "all"):
        with record_all(path, mode=mode):
            sends(counting(TASKS), [0.0] * TASKS)
        places.append([line["place"] for line in lines(path)])
    assert places[0] == places[1] == places[2] == sorted(places[0])


def test_a_renamed_node_receives_the_answers_in_the_recorded_order(tmp_path: Path) -> None:
    path = tmp_path / "votes.jsonl"
    with record_all(path, mode="once"):
        sends(counting(2), [0.0, 0.0])
    path.write_text(path.read_text(encoding="utf-8").replace('"vote[', '"poll['), encoding="utf-8")
    with record_all(path):
        assert sorted(sends(FakeListChatModel(responses=[]), [0.0, 0.0])) == ["0", "1"]
