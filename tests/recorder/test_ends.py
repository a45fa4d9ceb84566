"""Ends of calls: in each order of starts, tokens, ends, cancellations and threads, every call ends once."""

from __future__ import annotations

import asyncio
import gc
import tempfile
import uuid
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult

from plsync import PromptLayerCallbackHandler
from tests.support.examples import examples
from tests.support.models import Chat, records, texts

ACTIONS = ("start", "token", "end", "fail", "drop", "ingest", "collect")
RUNS = 4
STEPS = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, RUNS - 1), st.integers(0, 2)), max_size=40)


@dataclass
class Expected:
    """A run, and the status that its record must have."""

    run_id: uuid.UUID | None = field(default_factory=uuid.uuid4)
    text: str = ""
    status: str | None = None
    tokens: str = ""
    was_dropped: bool = False

    def __post_init__(self) -> None:
        self.text = str(self.run_id)

    def id_of_an_event(self) -> uuid.UUID:
        """The id itself. After it is dropped, a copy, as of a program that calls the handler itself."""
        return self.run_id or uuid.UUID(self.text)


def act(action: str, run: Expected, handler: PromptLayerCallbackHandler, path: Path) -> None:
    """Perform one step, and update the expectation."""
    if action == "start" and run.status is None and run.run_id is not None:
        handler.on_chat_model_start({}, [[HumanMessage("hi")]], run_id=run.run_id)
        run.status = "pending"
    elif action == "token" and run.status in ("pending", "cancelled"):
        handler.on_llm_new_token("x", run_id=run.id_of_an_event())
        if run.status == "pending":
            run.tokens += "x"
    elif action == "end" and run.status is not None:
        answer = LLMResult(generations=[[ChatGeneration(message=AIMessage("yes"))]])
        handler.on_llm_end(answer, run_id=run.id_of_an_event())
        run.status = "ok" if run.status in ("pending", "cancelled") else run.status
    elif action == "fail" and run.status is not None:
        handler.on_llm_error(ValueError("no"), run_id=run.id_of_an_event())
        run.status = "error" if run.status in ("pending", "cancelled") else run.status
    elif action == "drop" and run.run_id is not None:
        run.run_id = None
        run.status = "cancelled" if run.status == "pending" else run.status
    elif action == "ingest" and path.exists():
        records(path)
    elif action == "collect":
        gc.collect()


@settings(deadline=None, max_examples=examples(25))
@given(STEPS)
def test_each_run_ends_once_with_its_last_true_end(steps: list[tuple[str, int, int]]) -> None:
    runs = [Expected() for _ in range(RUNS)]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "journal"
        handler = PromptLayerCallbackHandler(journal=path)
        threads = [ThreadPoolExecutor(1) for _ in range(3)]
        for action, at, thread in steps:
            threads[thread].submit(act, action, runs[at], handler, path).result()
        for pool in threads:
            pool.shutdown()
        found = {record.run_id: record for record in records(path)} if any(run.status for run in runs) else {}
        assert {run.text: run.status for run in runs if run.status} == {
            str(run_id): record.status for run_id, record in found.items()
        }
        for run in runs:
            if run.status == "cancelled":
                assert "".join(texts(found[run.text])) == run.tokens
            elif run.status == "ok":
                assert texts(found[run.text]) == ["yes"]
        assert handler.failures == 0


class Timed(Chat):
    """Answers after some turns of the loop, or fails; a stream waits before each word."""

    turns: int = 0
    fails: bool = False

    async def _wait(self) -> None:
        for _ in range(self.turns):
            await asyncio.sleep(0)
        if self.fails:
            raise ValueError("no")

    async def _agenerate(self, messages: Any, *args: Any, **kwargs: Any) -> Any:
        await self._wait()
        return self._generate(messages)


class TimedStream(Timed):
    async def _astream(self, *args: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        for word in ("a ", "b"):
            yield ChatGenerationChunk(message=AIMessageChunk(content=word))
            await self._wait()


@dataclass
class Plan:
    """One call: how it is made, how long it takes, and after how many turns it is cancelled."""

    way: str
    turns: int
    fails: bool
    patience: int
    in_task: bool


PLANS = st.lists(
    st.builds(
        Plan,
        way=st.sampled_from(["ainvoke", "astream", "abatch", "streamed"]),
        turns=st.integers(0, 6),
        fails=st.booleans(),
        patience=st.integers(0, 20),
        in_task=st.booleans(),
    ),
    min_size=1,
    max_size=6,
)


async def make(plan: Plan, handler: PromptLayerCallbackHandler) -> None:
    kind = TimedStream if plan.way in ("astream", "streamed") else Timed
    model = kind(turns=plan.turns, fails=plan.fails)
    config: Any = {"callbacks": [handler], "tags": ["call"]}
    if plan.way == "astream":
        async for _ in model.astream("hi", config):
            pass
    elif plan.way == "abatch":
        await model.abatch(["hi"], config)
    else:
        await model.ainvoke("hi", config)


async def outcome(plan: Plan, handler: PromptLayerCallbackHandler) -> str:
    """Make a call, cancel it after its patience, and return the status that it must have."""
    call = asyncio.create_task(make(plan, handler))
    for _ in range(plan.patience):
        await asyncio.sleep(0)
    if not call.done():
        call.cancel()
    try:
        await call
    except asyncio.CancelledError:
        return "cancelled"
    except ValueError:
        return "error"
    return "ok"


@settings(deadline=None, max_examples=examples(60))
@given(PLANS)
def test_each_call_has_the_status_that_the_program_saw(plans: list[Plan]) -> None:
    async def main(handler: PromptLayerCallbackHandler) -> list[str]:
        calls = [outcome(plan, handler) for plan in plans]
        return list(await asyncio.gather(*calls))

    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "journal"
        statuses = asyncio.run(main(PromptLayerCallbackHandler(journal=path)))
        found = [record.status for record in records(path)] if path.exists() else []
        assert "pending" not in found
        # A call that is cancelled before it begins leaves no record.
        for status in ("error", "ok"):
            assert found.count(status) >= statuses.count(status)
        assert len(found) <= len(plans)
        assert len(found) >= len([status for status in statuses if status != "cancelled"])
