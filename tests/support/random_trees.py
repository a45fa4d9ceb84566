"""Random trees of runs, reported to a handler as LangChain reports them."""

from __future__ import annotations

import os
import random
import signal
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, LLMResult

from plsync import PromptLayerCallbackHandler

KINDS = ("chain", "chain", "tool", "retriever", "chat")


class GraphInterrupt(Exception):
    __module__ = "langgraph.errors"


@dataclass
class RandomTree:
    """A tree that is reported event by event. Several trees may be open at once.

    Args:
        handler: receives the events.
        chance: decides everything.
        number: the number of the tree, in its names.
    """

    handler: PromptLayerCallbackHandler
    chance: random.Random
    number: int
    parents: dict[str, str | None] = field(default_factory=dict)
    """The parent's run id by run id, of all runs that have started."""
    open: list[tuple[UUID, str]] = field(default_factory=list)
    """The open runs and their kinds, from the root to the deepest."""
    left: int = 0

    def __post_init__(self) -> None:
        self.left = self.chance.randint(1, 12)

    def step(self) -> bool:
        """Report the next event. Returns whether the tree is still open."""
        deepest = self.open[-1][1] if self.open else "chain"
        may_start = self.left > 0 and deepest not in ("chat", "retriever") and len(self.open) < 6
        if not self.open or (may_start and self.chance.random() < 0.6):
            self._start("chain" if not self.open else self.chance.choice(KINDS))
            self.left -= 1
        else:
            self._end()
        return bool(self.open)

    def _start(self, kind: str) -> None:
        run_id = UUID(int=self.chance.getrandbits(128), version=4)
        parent = self.open[-1][0] if self.open else None
        thread = {"thread_id": f"t{self.number % 3}"} if self.number % 2 else {}
        common: dict[str, Any] = {"run_id": run_id, "parent_run_id": parent, "metadata": thread, "tags": []}
        name = f"{kind} {self.number}.{len(self.parents)}"
        if kind == "chat":
            self.handler.on_chat_model_start({"id": ["x", "Chat"]}, [[HumanMessage(name)]], name=name, **common)
        elif kind == "tool":
            self.handler.on_tool_start({"name": name}, "1", inputs={"n": name}, **common)
        elif kind == "retriever":
            self.handler.on_retriever_start({"name": name}, name, name=name, **common)
        else:
            self.handler.on_chain_start({}, {"text": name}, name=name, **common)
        self.open.append((run_id, kind))
        self.parents[str(run_id)] = None if parent is None else str(parent)

    def _end(self) -> None:
        run_id, kind = self.open.pop()
        outcome = self.chance.choice(("ok", "ok", "ok", "error", "interrupt"))
        failure = GraphInterrupt("?") if outcome == "interrupt" and kind != "chat" else ValueError("no")
        if kind == "chat" and outcome == "ok":
            answer = ChatGeneration(message=AIMessage("yes"))
            self.handler.on_llm_end(LLMResult(generations=[[answer]]), run_id=run_id)
        elif kind == "chat":
            self.handler.on_llm_error(failure, run_id=run_id)
        elif outcome == "ok":
            getattr(self.handler, f"on_{kind}_end")([], run_id=run_id)
        else:
            getattr(self.handler, f"on_{kind}_error")(failure, run_id=run_id)


def record_trees(path: str, seed: int, count: int, expected: str) -> None:
    """Record trees, a few at once, and die by SIGKILL while the last of them are open.

    Args:
        path: the journal.
        seed: the same seed makes the same trees.
        count: the number of trees.
        expected: a file for the parent of each run, one run on a line.
    """
    handler = PromptLayerCallbackHandler(journal=path, runs="tree")
    chance = random.Random(seed)  # noqa: S311
    trees = [RandomTree(handler, chance, number) for number in range(count)]
    growing, written = trees[:3], 0
    waiting = trees[3:]
    with open(expected, "w", encoding="ascii") as file:
        # The last three stay open.
        while waiting or len(growing) == 3:
            tree = chance.choice(growing)
            is_open = tree.step()
            if not is_open:
                growing.remove(tree)
                file.writelines(f"{run} {parent}\n" for run, parent in tree.parents.items())
                growing += waiting[:1]
                del waiting[:1]
        for tree in growing:
            tree.step()
            file.writelines(f"{run} {parent}\n" for run, parent in tree.parents.items())
            written += 1
        file.flush()
        assert handler.failures == 0
        os.kill(os.getpid(), signal.SIGKILL)
