"""One argument that cannot be read costs only itself."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration, Generation, LLMResult

from plsync import Journal, PromptLayerCallbackHandler
from tests.support.models import Chat, StreamingChat, records, texts

pytestmark = pytest.mark.filterwarnings("ignore::plsync.errors.PlsyncWarning")

ID = uuid.UUID("01890c2e-1d5a-7c1c-8b1a-0123456789ab")


class Subclass(uuid.UUID):
    pass


class Foreign:
    """A UUID of another library."""

    def __str__(self) -> str:
        return str(ID)


class Broken(uuid.UUID):
    def __getattribute__(self, name: str) -> Any:
        raise OSError(name)


@pytest.fixture
def handler(path: Path) -> PromptLayerCallbackHandler:
    return PromptLayerCallbackHandler(journal=path)


def answer(*texts: str) -> LLMResult:
    return LLMResult(generations=[[ChatGeneration(message=AIMessage(text))] for text in texts])


@pytest.mark.parametrize(
    "form",
    [
        lambda: str(ID),
        lambda: ID.hex,
        lambda: ID.urn,
        lambda: ID.int,
        lambda: ID.bytes,
        lambda: Subclass(int=ID.int),
        lambda: np.str_(str(ID)),
        Foreign,
    ],
    ids=["text", "hex", "urn", "int", "bytes", "subclass", "numpy", "foreign"],
)
def test_an_id_is_read_in_each_form(form: Callable[[], Any], handler: PromptLayerCallbackHandler, path: Path) -> None:
    handler.on_chat_model_start({}, [[HumanMessage("hi")]], run_id=form(), parent_run_id=form())
    handler.on_llm_new_token("yes", run_id=form())
    handler.on_llm_end(answer("yes"), run_id=form())
    (record,) = records(path)
    assert (record.run_id, record.parent_run_id, record.status, texts(record)) == (str(ID), str(ID), "ok", ["yes"])
    assert record.chunk_times is not None
    assert handler.failures == 0
    with Journal.open(path) as journal:
        assert len(list(journal.records(run_id=ID))) == 1


def test_a_model_may_be_called_with_a_text_as_its_run_id(handler: PromptLayerCallbackHandler, path: Path) -> None:
    config: Any = {"callbacks": [handler], "run_id": str(ID)}
    assert Chat().invoke("hi", config).content == "yes"
    list(StreamingChat().stream("hi", config))
    assert [(record.run_id, record.status) for record in records(path)] == [(str(ID), "ok")] * 2


@pytest.mark.parametrize("at", range(10))
def test_an_unreadable_id_leaves_a_record_without_an_id(
    at: int, handler: PromptLayerCallbackHandler, path: Path
) -> None:
    run_id: Any = [None, "run 7", b"abc", -1, 1 << 128, 1.5, ["x"], object(), Broken(int=1), "\ud83d"][at]
    handler.on_chat_model_start({}, [[HumanMessage("hi")]], run_id=run_id, tags=["geo"])
    handler.on_llm_end(answer("yes"), run_id=run_id)
    (record,) = records(path)
    assert (record.run_id, record.status, texts(record), record.tags) == (None, "ok", ["yes"], ["geo"])
    assert handler.failures == 1


def test_the_warning_names_the_argument_and_the_change(path: Path) -> None:
    program_id: Any = "run 7"
    with Journal.open(path, create=True) as journal:
        handler = PromptLayerCallbackHandler(journal=path)
        handler.on_chat_model_start({}, [[HumanMessage("hi")]], run_id=program_id)
        reason = journal.stats().last_failure
    assert "run_id is a text that is no UUID" in str(reason)
    assert "pass a uuid.UUID" in str(reason)


@pytest.mark.parametrize(
    "odd",
    [
        {"tags": "geo"},
        {"tags": [1, None]},
        {"tags": object()},
        {"metadata": "no"},
        {"metadata": {1: 2}},
        {"metadata": [("a", 1)]},
        {"parent_run_id": "no"},
        {"invocation_params": "no"},
        {"options": 3},
        {"name": 3},
        {"batch_size": "many"},
        {"unknown": object()},
    ],
    ids=lambda odd: "{}-{}".format(*next((name, type(value).__name__) for name, value in odd.items())),
)
def test_an_odd_argument_of_a_start_costs_only_itself(
    odd: dict[str, Any], handler: PromptLayerCallbackHandler, path: Path
) -> None:
    usual: dict[str, Any] = {"tags": ["geo"], "metadata": {"user": 7}}
    handler.on_chat_model_start({}, [[HumanMessage("hi")]], run_id=ID, **{**usual, **odd})
    handler.on_llm_end(answer("yes"), run_id=ID)
    (record,) = records(path)
    assert (record.run_id, record.status, texts(record)) == (str(ID), "ok", ["yes"])
    assert record.input[0]["content"] == "hi"
    if "tags" not in odd:
        assert record.tags == ["geo"]
    if "metadata" not in odd:
        assert record.metadata["user"] == 7


@pytest.mark.parametrize("messages", [None, [], "hi", [HumanMessage("hi")], [None]], ids=str)
def test_odd_messages_leave_a_record(messages: Any, handler: PromptLayerCallbackHandler, path: Path) -> None:
    handler.on_chat_model_start({}, messages, run_id=ID, tags=["geo"])
    handler.on_llm_end(answer("yes"), run_id=ID)
    (record,) = records(path)
    assert (record.status, texts(record), record.tags) == ("ok", ["yes"], ["geo"])


def test_arguments_may_be_absent(handler: PromptLayerCallbackHandler, path: Path) -> None:
    untyped: Any = handler
    untyped.on_chat_model_start()
    untyped.on_llm_new_token("yes")
    untyped.on_llm_end(answer("yes"))
    untyped.on_llm_start()
    untyped.on_llm_error(ValueError("no"))
    assert sorted(record.status for record in records(path)) == ["error", "ok"]


@pytest.mark.parametrize("response", [None, {}, "yes", object()], ids=["none", "dict", "text", "object"])
def test_a_response_of_another_class_ends_the_call(
    response: Any, handler: PromptLayerCallbackHandler, path: Path
) -> None:
    handler.on_chat_model_start({}, [[HumanMessage("hi")]], run_id=ID)
    handler.on_llm_end(response, run_id=ID)
    (record,) = records(path)
    assert (record.status, record.output, handler.failures) == ("ok", [], 1)


def test_each_prompt_of_a_run_is_a_record_with_its_answer(handler: PromptLayerCallbackHandler, path: Path) -> None:
    handler.on_chat_model_start({}, [[HumanMessage("one")], [HumanMessage("two")]], run_id=ID)
    handler.on_llm_end(answer("first", "second"), run_id=ID)
    handler.on_llm_start({}, ["three", "four"], run_id=ID)
    handler.on_llm_error(ValueError("no"), run_id=ID)
    first, second, third, fourth = records(path)
    assert (first.input[0]["content"], texts(first)) == ("one", ["first"])
    assert (second.input[0]["content"], texts(second)) == ("two", ["second"])
    assert [(record.input, record.status) for record in (third, fourth)] == [(["three"], "error"), (["four"], "error")]


def test_answers_to_one_prompt_in_several_lists_are_all_kept(handler: PromptLayerCallbackHandler, path: Path) -> None:
    handler.on_llm_start({}, ["one"], run_id=ID)
    handler.on_llm_end(LLMResult(generations=[[Generation(text="a")], [Generation(text="b")]]), run_id=ID)
    (record,) = records(path)
    assert texts(record) == ["a", "b"]


@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_a_handler_that_is_attached_twice_makes_one_record(
    way: str, handler: PromptLayerCallbackHandler, path: Path
) -> None:
    _call(way, [handler, handler])
    (record,) = records(path)
    assert record.status == "ok"
    if way == "stream":
        assert record.chunk_times is not None
        assert len(record.chunk_times) == len(StreamingChat().words)


@pytest.mark.parametrize("way", ["invoke", "stream"])
@pytest.mark.parametrize(
    ("first", "second", "number"),
    [
        ({}, {}, 1),
        ({"pl_tags": ["a", "b"]}, {"pl_tags": ["b"]}, 1),
        ({}, {"pl_tags": ["b"]}, 2),
        ({}, {"redact": dict}, 2),
        ({}, {"pl_id_callback": print}, 2),
    ],
    ids=["same", "fewer tags", "more tags", "hook", "callback"],
)
def test_two_handlers_make_one_record_unless_the_second_adds_to_it(
    way: str, first: dict[str, Any], second: dict[str, Any], number: int, path: Path
) -> None:
    handlers = [PromptLayerCallbackHandler(journal=path, **settings) for settings in (first, second)]
    for _ in range(3):
        _call(way, handlers)
    assert [record.status for record in records(path)] == ["ok"] * 3 * number


def _call(way: str, handlers: list[Any]) -> None:
    result = getattr(StreamingChat(), way)("hi", {"callbacks": handlers})
    if way == "stream":
        list(result)


def test_two_handlers_of_two_journals_make_a_record_each(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    Chat().invoke("hi", {"callbacks": [PromptLayerCallbackHandler(journal=each) for each in (path, other)]})
    assert [len(records(each)) for each in (path, other)] == [1, 1]


@pytest.mark.parametrize("name", ["thread_id", "session_id", "conversation_id"])
@pytest.mark.parametrize("value", [17, np.int64(17), np.str_("17"), "17"], ids=["int", "numpy", "numpy text", "text"])
def test_a_conversation_has_one_lane_by_any_form_of_its_id(name: str, value: Any, path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path)
    for each in (value, "17"):
        Chat().invoke("hi", {"callbacks": [handler], "metadata": {name: each}})
    assert len({record.lane for record in records(path)} - {0}) == 1


@pytest.mark.parametrize("value", [ID, Foreign()], ids=["uuid", "foreign"])
def test_a_uuid_and_its_text_name_one_conversation(value: Any, path: Path) -> None:
    handler = PromptLayerCallbackHandler(journal=path)
    for each in (value, str(ID)):
        Chat().invoke("hi", {"callbacks": [handler], "metadata": {"thread_id": each}})
    assert len({record.lane for record in records(path)} - {0}) == 1
