"""Each way to call a model leaves one record per request, with the arguments of LangChain's callbacks."""

from __future__ import annotations

import enum
import gc
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks.base import BaseCallbackHandler
from langchain_core.language_models import FakeListLLM
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.outputs import Generation, LLMResult

from plsync import Journal, PromptLayerCallbackHandler
from tests.support.models import CallbackLLM, Chat, FailingLLM, SlowChat, records, texts


@pytest.fixture
def handler(path: Path) -> PromptLayerCallbackHandler:
    return PromptLayerCallbackHandler(pl_tags=["mine"], journal=path)


def test_a_chat_call_is_kept_with_its_settings(handler: PromptLayerCallbackHandler, path: Path) -> None:
    messages = [SystemMessage("Be brief."), HumanMessage("The capital of France?")]
    config: Any = {"callbacks": [handler], "tags": ["geo"], "metadata": {"user": 7}, "run_name": "capital"}
    Chat(reply=lambda _: AIMessage("Paris")).invoke(messages, config, temperature=0.5)
    (record,) = records(path)
    assert [message["content"] for message in record.input] == ["Be brief.", "The capital of France?"]
    assert (record.kind, record.name, record.status, texts(record)) == ("chat", "capital", "ok", ["Paris"])
    assert record.params["temperature"] == 0.5
    assert record.metadata["user"] == 7
    assert set(record.tags) == {"geo", "mine"}
    assert record.ended_at is not None
    assert record.started_at < record.ended_at


class Team(str, enum.Enum):
    SEARCH = "search"


def test_a_call_is_found_by_a_tag_that_is_a_member_of_an_enum(handler: PromptLayerCallbackHandler, path: Path) -> None:
    Chat().invoke("hi", {"callbacks": [handler], "tags": [Team.SEARCH]})
    with Journal.open(path) as journal:
        assert [record.tags for record in journal.records(tag="search")] == [["search", "mine"]]


def test_a_single_tag_needs_no_list(path: Path) -> None:
    Chat().invoke("hi", {"callbacks": [PromptLayerCallbackHandler(pl_tags="geo", journal=path)]})
    (record,) = records(path)
    assert record.tags == ["geo"]


def test_a_text_call_is_kept(handler: PromptLayerCallbackHandler, path: Path) -> None:
    FakeListLLM(responses=["Paris"]).invoke("The capital of France?", {"callbacks": [handler]})
    (record,) = records(path)
    assert (record.kind, record.input, texts(record)) == ("llm", ["The capital of France?"], ["Paris"])


async def test_async_calls_are_kept_like_synchronous_calls(handler: PromptLayerCallbackHandler, path: Path) -> None:
    await Chat().ainvoke("hi", {"callbacks": [handler]})
    await FakeListLLM(responses=["yes"]).ainvoke("hi", {"callbacks": [handler]})
    assert [(record.kind, texts(record)) for record in records(path)] == [("chat", ["yes"]), ("llm", ["yes"])]


@pytest.mark.parametrize("model", [Chat(), FakeListLLM(responses=["yes"])], ids=["chat", "llm"])
def test_a_batch_leaves_a_record_for_each_input(model: Any, handler: PromptLayerCallbackHandler, path: Path) -> None:
    model.batch(["one", "two", "three"], {"callbacks": [handler]})
    assert [texts(record) for record in records(path)] == [["yes"]] * 3


def test_generate_leaves_a_record_for_each_list(handler: PromptLayerCallbackHandler, path: Path) -> None:
    Chat().generate([[HumanMessage("one")], [HumanMessage("two")]], callbacks=[handler])
    assert [record.input[0]["content"] for record in records(path)] == ["one", "two"]


def test_runs_that_langchain_never_closes_are_cancelled(handler: PromptLayerCallbackHandler, path: Path) -> None:
    def reply(messages: list[Any]) -> AIMessage:
        if messages[0].content == "two":
            raise ValueError("no")
        return AIMessage("yes")

    with pytest.raises(ValueError, match="no"):
        Chat(reply=reply).generate([[HumanMessage(text)] for text in ("one", "two", "three")], callbacks=[handler])
    gc.collect()  # the traceback of the error is a cycle that holds the runs
    assert sorted(record.status for record in records(path)) == ["cancelled", "cancelled", "error"]


def test_several_candidates_are_one_record(handler: PromptLayerCallbackHandler, path: Path) -> None:
    Chat(reply=lambda _: [AIMessage("one"), AIMessage("two")]).invoke("hi", {"callbacks": [handler]})
    (record,) = records(path)
    assert texts(record) == ["one", "two"]


def test_a_turn_with_tools_is_kept_on_both_sides(handler: PromptLayerCallbackHandler, path: Path) -> None:
    call = {"name": "weather", "args": {"city": "Paris"}, "id": "1"}
    history = [HumanMessage("Weather?"), AIMessage("", tool_calls=[call]), ToolMessage("sunny", tool_call_id="1")]
    Chat(reply=lambda _: AIMessage("", tool_calls=[{**call, "id": "2"}])).invoke(history, {"callbacks": [handler]})
    (record,) = records(path)
    assert record.input[1]["tool_calls"][0]["args"] == {"city": "Paris"}
    assert record.input[2]["tool_call_id"] == "1"
    assert [(tool["name"], tool["id"]) for tool in record.tool_calls] == [("weather", "2")]


@pytest.mark.parametrize("model", [Chat(reply=lambda _: 1 / 0), FailingLLM()], ids=["chat", "llm"])
def test_a_failing_call_keeps_its_error(model: Any, handler: PromptLayerCallbackHandler, path: Path) -> None:
    with pytest.raises((ZeroDivisionError, ValueError)) as raised:
        model.invoke("hi", {"callbacks": [handler]})
    (record,) = records(path)
    assert record.status == "error"
    assert record.error is not None
    assert (record.error["type"], record.error["message"]) == (raised.type.__name__, str(raised.value))


def test_each_attempt_of_a_retry_is_a_record(handler: PromptLayerCallbackHandler, path: Path) -> None:
    replies: Iterator[Exception | AIMessage] = iter([ConnectionError("down"), AIMessage("up")])

    def reply(_: Any) -> AIMessage:
        answer = next(replies)
        if isinstance(answer, Exception):
            raise answer
        return answer

    model = Chat(reply=reply).with_retry(stop_after_attempt=2, wait_exponential_jitter=False)
    model.invoke("hi", {"callbacks": [handler]})
    first, second = records(path)
    assert [first.status, second.status] == ["error", "ok"]
    assert first.parent_run_id == second.parent_run_id is not None
    assert "retry:attempt:2" in second.tags


def test_each_candidate_of_a_fallback_is_a_record(handler: PromptLayerCallbackHandler, path: Path) -> None:
    Chat(reply=lambda _: 1 / 0).with_fallbacks([Chat()]).invoke("hi", {"callbacks": [handler]})
    assert [record.status for record in records(path)] == ["error", "ok"]


def test_an_answer_from_a_cache_is_marked(handler: PromptLayerCallbackHandler, path: Path) -> None:
    usage: Any = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    model = Chat(reply=lambda _: AIMessage("yes", usage_metadata=usage), cache=InMemoryCache())
    for _ in range(2):
        model.invoke("hi", {"callbacks": [handler]})
    assert [record.cached for record in records(path)] == [False, True]


def test_calls_that_share_a_run_id_are_separate_records(handler: PromptLayerCallbackHandler, path: Path) -> None:
    model = SlowChat(meet=threading.Barrier(3))
    config: Any = {"callbacks": [handler], "run_id": uuid.uuid4()}
    with ThreadPoolExecutor(3) as pool:
        list(pool.map(lambda text: model.invoke(text, config), ["one", "two", "three"]))
    found = records(path)
    assert len({record.id for record in found}) == 3
    assert len({record.run_id for record in found}) == 1
    assert [record.status for record in found] == ["ok"] * 3


def test_calls_that_share_a_run_id_keep_their_own_answers_in_each_order_of_ends(
    handler: PromptLayerCallbackHandler, path: Path
) -> None:
    answered = {text: threading.Event() for text in ("one", "two", "three")}
    after = {"one": "two", "two": "three"}

    def reply(messages: list[BaseMessage]) -> AIMessage:
        text = str(messages[0].content)
        assert text not in after or answered[after[text]].wait(timeout=30)
        return AIMessage(f"to {text}")

    model = SlowChat(reply=reply, meet=threading.Barrier(3))
    config: Any = {"callbacks": [handler], "run_id": uuid.uuid4()}

    def call(text: str) -> None:
        model.invoke(text, config)
        answered[text].set()

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(call, answered))
    kept = {record.input[0]["content"]: texts(record) for record in records(path)}
    assert kept == {text: [f"to {text}"] for text in answered}


def test_tokens_without_chunks_are_timed_in_a_plain_call(handler: PromptLayerCallbackHandler, path: Path) -> None:
    CallbackLLM().invoke("hi", {"callbacks": [handler]})
    (record,) = records(path)
    assert record.first_token_at is not None
    assert record.ended_at is not None
    assert record.started_at <= record.first_token_at <= record.ended_at


def test_an_end_without_a_start_is_kept(handler: PromptLayerCallbackHandler, path: Path) -> None:
    run_id = uuid.uuid4()
    handler.on_llm_end(LLMResult(generations=[[Generation(text="yes")]]), run_id=run_id)
    (record,) = records(path)
    assert (record.run_id, record.kind, texts(record)) == (str(run_id), "llm", ["yes"])


def test_the_first_end_of_a_run_counts(handler: PromptLayerCallbackHandler, path: Path) -> None:
    run_id = uuid.uuid4()
    handler.on_llm_start({}, ["hi"], run_id=run_id)
    handler.on_llm_end(LLMResult(generations=[[Generation(text="yes")]]), run_id=run_id)
    handler.on_llm_error(ValueError("late"), run_id=run_id)
    (record,) = records(path)
    assert (record.status, texts(record)) == ("ok", ["yes"])


def test_a_decision_model_is_recorded_though_it_is_a_chain(handler: PromptLayerCallbackHandler, path: Path) -> None:
    chain, decision, failing = uuid.uuid4(), uuid.uuid4(), uuid.uuid4()
    handler.on_chain_start({}, {"plain": "chain"}, run_id=chain)
    handler.on_chain_start({}, {"question": "ok?"}, run_id=decision, run_type="llm", metadata={"ls_model_name": "m"})
    handler.on_chain_start({}, {"question": "no?"}, run_id=failing, run_type="llm")
    handler.on_chain_end({"decision": True}, run_id=decision)
    handler.on_chain_error(ValueError("no"), run_id=failing)
    handler.on_chain_end({}, run_id=chain)
    found = records(path)
    assert [(record.kind, record.status) for record in found] == [("chat", "ok"), ("chat", "error")]
    assert found[0].model == "m"


def test_later_changes_of_the_program_are_not_in_the_record(handler: PromptLayerCallbackHandler, path: Path) -> None:
    message = HumanMessage("before")
    answer = Chat().invoke([message], {"callbacks": [handler]})
    message.content = answer.content = "after"
    (record,) = records(path)
    assert (record.input[0]["content"], texts(record)) == ("before", ["yes"])


class OnThePool(BaseCallbackHandler):
    """A second handler, which LangChain runs in its thread pool in async calls."""

    run_inline = False

    def on_chat_model_start(self, *args: Any, **kwargs: Any) -> None:
        pass


async def test_a_second_handler_in_the_thread_pool_changes_nothing(
    handler: PromptLayerCallbackHandler, path: Path
) -> None:
    config: Any = {"callbacks": [OnThePool(), handler]}
    await Chat().ainvoke("hi", config)
    await FakeListLLM(responses=["yes"]).ainvoke("hi", config)
    assert [record.status for record in records(path)] == ["ok", "ok"]


def test_a_subclass_can_add_to_any_callback(path: Path) -> None:
    seen = []

    class Counting(PromptLayerCallbackHandler):
        def on_llm_end(self, response: LLMResult, **kwargs: Any) -> None:
            seen.append(response.generations[0][0].text)
            super().on_llm_end(response, **kwargs)

    FakeListLLM(responses=["Paris"]).invoke("hi", {"callbacks": [Counting(journal=path)]})
    (record,) = records(path)
    assert (seen, record.status, texts(record)) == (["Paris"], "ok", ["Paris"])


def test_a_handler_without_a_journal_raises() -> None:
    class Forgetful(PromptLayerCallbackHandler):
        def __init__(self) -> None:
            pass

    with pytest.raises(RuntimeError, match="without calling its __init__"):
        Forgetful().on_llm_start({}, ["hi"], run_id=uuid.uuid4())
