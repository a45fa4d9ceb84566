"""Records: the facts in event bodies of different providers."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.outputs import ChatGeneration

from plsync.journal.record import FIELDS, STATES, Record
from tests.support.request_log import StoredRow

ID = UUID("0199a3b2-c4d5-7e6f-8a9b-0c1d2e3f4a5b")
RUN = "11111111-2222-4333-8444-555555555555"
T = 1_760_000_000_123_456_789

ENDED = {"pending": 0, "ok": 1, "error": 2, "cancelled": 3, "partial": 4, "abandoned": 5}


def record(start: dict[str, Any] | None = None, end: dict[str, Any] | None = None, **fields: Any) -> Record:
    def body(event: dict[str, Any] | None) -> bytes | None:
        return None if event is None else orjson.dumps(event)

    row = {"id": ID.bytes, "seq": 7, "state": 0, "attempts": 0, **fields}
    return StoredRow(start=body(start), end=body(end), **row).record()


def answer(**fields: Any) -> dict[str, Any]:
    message = {"$": "AIMessage", "v": {"type": "ai", "content": "hello", **fields}}
    return {"$": "ChatGeneration", "v": {"text": "hello", "type": "ChatGeneration", "message": message}}


CHAT = {
    "v": 1,
    "kind": "chat",
    "t": T,
    "run_id": RUN,
    "parent_run_id": None,
    "class": ["langchain_openai", "chat_models", "base", "ChatOpenAI"],
    "name": None,
    "messages": [{"$": "HumanMessage", "v": {"type": "human", "content": "hi"}}],
    "params": {"model": "gpt-4o-mini", "temperature": 0.5},
    "options": {"stop": None},
    "tags": ["one", "two"],
    "pl_tags": ["two", "three"],
    "metadata": {"ls_provider": "openai", "mine": {"$": "tuple", "v": [1, 2]}},
}


def test_a_chat_record_has_its_request_and_its_response() -> None:
    calls = [{"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}]
    read = record(CHAT, {"v": 1, "t": T + 5, "elapsed": 2_000_000, "generations": [answer(tool_calls=calls)]})
    assert (read.id, read.run_id, read.kind, read.status) == (str(ID), RUN, "chat", "ok")
    assert (read.name, read.model, read.provider) == ("ChatOpenAI", "gpt-4o-mini", "openai")
    assert read.input == [{"type": "human", "content": "hi"}]
    assert read.output[0]["text"] == "hello"
    assert read.output[0]["message"] == {"type": "ai", "content": "hello", "tool_calls": calls}
    assert read.tool_calls == calls
    assert read.metadata["mine"] == [1, 2]
    assert read.error is None


def test_tags_are_langchains_then_the_handlers_each_once() -> None:
    assert record(CHAT).tags == ["one", "two", "three"]


def test_a_text_record_has_prompts_and_texts() -> None:
    generation = {"$": "Generation", "v": {"text": "4", "generation_info": {"finish_reason": "stop"}}}
    read = record({"kind": "llm", "t": T, "prompts": ["2+2?"]}, {"t": T, "generations": [generation]})
    assert (read.kind, read.input) == ("llm", ["2+2?"])
    assert read.output == [{"text": "4", "message": None, "generation_info": {"finish_reason": "stop"}}]


def test_a_decision_models_inputs_and_outputs_are_read() -> None:
    read = record({"kind": "chat", "inputs": {"question": "?"}}, {"outputs": {"choice": "a"}})
    assert read.input == [{"question": "?"}]
    assert read.output[0]["text"] == '{"choice":"a"}'


@pytest.mark.parametrize(
    ("start", "end", "model"),
    [
        ({"metadata": {"ls_model_name": "m1"}, "params": {"model": "m2"}}, {}, "m1"),
        ({"params": {"model_name": "m2"}}, {}, "m2"),
        ({"params": {"model_id": "m3"}}, {}, "m3"),
        ({"params": {"model_path": "/m/m3.gguf"}}, {}, "/m/m3.gguf"),
        ({}, {"generations": [answer(response_metadata={"model_name": "m4"})]}, "m4"),
        ({"class": ["langchain", "llms", "gpt4all", "GPT4All"]}, {}, "GPT4All"),
        ({}, {}, None),
    ],
)
def test_the_model_is_found_in_the_places_that_providers_use(
    start: dict[str, Any], end: dict[str, Any], model: str | None
) -> None:
    assert record(start, end).model == model


@pytest.mark.parametrize(
    ("end", "usage"),
    [
        (
            {
                "generations": [
                    answer(
                        usage_metadata={
                            "input_tokens": 3,
                            "output_tokens": 4,
                            "total_tokens": 7,
                            "input_token_details": {"cache_read": 2},
                        }
                    )
                ]
            },
            {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7, "input_token_details": {"cache_read": 2}},
        ),
        (
            {"llm_output": {"token_usage": {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 8}}},
            {"input_tokens": 3, "output_tokens": 4, "total_tokens": 8},
        ),
        (
            {"llm_output": {"usage": {"input_tokens": 1, "output_tokens": 2}}},
            {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        ),
        ({"llm_output": {"token_usage": {}}}, None),
        ({}, None),
    ],
)
def test_usage_is_normalised(end: dict[str, Any], usage: dict[str, Any] | None) -> None:
    assert record(CHAT, end).usage == usage


def test_an_error_keeps_its_type_message_and_status_code() -> None:
    end = {"t": T, "error": {"type": "RateLimitError", "module": "openai", "message": "slow down", "status_code": 429}}
    read = record(CHAT, end, ended=ENDED["error"])
    assert read.status == "error"
    assert read.error == {"type": "RateLimitError", "module": "openai", "message": "slow down", "status_code": 429}


def test_a_call_whose_process_died_is_an_error_of_type_abandoned() -> None:
    read = record(CHAT, ended=ENDED["abandoned"])
    assert read.status == "error"
    assert read.error is not None
    assert read.error["type"] == "Abandoned"
    assert "the process has ended, and no end of the call was recorded" in read.error["message"]
    assert read.ended_at is None


@pytest.mark.parametrize("status", ["pending", "ok", "error", "cancelled", "partial"])
def test_status_follows_from_the_end_of_the_call(status: str) -> None:
    assert record(CHAT, ended=ENDED[status]).status == status


@pytest.mark.parametrize(("number", "state"), list(enumerate(STATES)))
def test_state_is_the_stored_one(number: int, state: str) -> None:
    assert record(CHAT, state=number).state == state


def test_times_are_utc_and_exact_to_the_microsecond() -> None:
    read = record(CHAT, {"elapsed": 1_500_000, "first_token": 500_000, "chunks": [500, 900]})
    assert read.started_at == datetime(2025, 10, 9, 8, 53, 20, 123456, tzinfo=timezone.utc)
    assert read.started_ns == T
    assert read.ended_ns == T + 1_500_000
    assert read.first_token_at is not None
    assert (read.first_token_at - read.started_at).microseconds == 500
    assert read.chunk_times == [500, 900]


def test_a_clock_set_back_during_a_call_does_not_end_it_before_it_began() -> None:
    read = record(CHAT, {"t": T - 10**9, "elapsed": 5_000})
    assert read.ended_ns == T + 5_000
    assert record(CHAT, {"t": T - 10**9, "elapsed": None}).ended_ns == T


def test_an_end_without_a_start_is_a_record_with_empty_input() -> None:
    end = {"t": T, "elapsed": None, "kind": "chat", "run_id": RUN, "generations": [answer()]}
    read = record(None, end)
    assert (read.kind, read.run_id, read.input, read.params, read.tags, read.model) == ("chat", RUN, [], {}, [], None)
    assert read.started_at == read.ended_at
    assert read.messages() == []


def test_ids_for_promptlayer_come_from_the_record_id_alone() -> None:
    assert record(CHAT).trace_id == "0199a3b2c4d57e6f8a9b0c1d2e3f4a5b"
    assert record(CHAT).span_id == "8a9b0c1d2e3f4a5b"


def test_flags_are_read() -> None:
    marked, unmarked = record(CHAT, flags=7), record(CHAT)
    assert (marked.cached, marked.lossy, marked.redacted) == (True, True, True)
    assert (unmarked.cached, unmarked.lossy, unmarked.redacted) == (False, False, False)


def test_as_dict_has_every_attribute_and_is_json() -> None:
    acked = {"state": 3, "request_id": 5, "acked_at_ns": T, "not_before": T // 10**6}
    as_dict = record(CHAT, {"elapsed": 1, "generations": [answer()]}, **acked).as_dict()
    public = {name for name in dir(Record) if isinstance(getattr(Record, name), property)}
    assert set(as_dict) == set(FIELDS) == public
    assert orjson.loads(orjson.dumps(as_dict)) == as_dict
    assert as_dict["started_at"] == "2025-10-09T08:53:20.123456+00:00"


def test_a_records_repr_shows_no_content() -> None:
    assert repr(record(CHAT)) == f"<Record {ID} chat ok pending>"


def test_records_are_read_only() -> None:
    with pytest.raises(AttributeError):
        record(CHAT).status = "ok"  # type: ignore[misc]


def test_messages_and_result_are_langchains_objects() -> None:
    read = record(CHAT, {"generations": [answer(tool_calls=[], invalid_tool_calls=[])], "llm_output": {"a": 1}})
    assert [type(message) for message in read.messages()] == [HumanMessage]
    result = read.result()
    assert result is not None
    (generation,) = result.generations[0]
    assert isinstance(generation, ChatGeneration)
    assert type(generation.message) is AIMessage
    assert result.llm_output == {"a": 1}
    assert record(CHAT, ended=ENDED["pending"]).result() is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
BODY_KEYS = [*CHAT, "prompts", "inputs", "generations", "outputs", "llm_output", "error", "elapsed", "chunks"]
BODY = st.none() | st.dictionaries(st.sampled_from(BODY_KEYS), JSON)


@given(start=BODY, end=BODY, ended=st.integers(0, 5))
def test_a_body_of_any_shape_can_be_read(start: dict[str, Any] | None, end: dict[str, Any] | None, ended: int) -> None:
    as_dict = record(start, end, ended=ended).as_dict()
    assert orjson.loads(orjson.dumps(as_dict))["id"] == str(ID)


def test_opaque_bytes_make_a_record() -> None:
    read = StoredRow(start=b"\xff not json", ended=0).record()
    assert (read.kind, read.status, read.input) == ("llm", "pending", [])
    assert (read.messages(), read.result()) == ([], None)


def test_a_hooks_replacement_of_messages_is_not_a_message() -> None:
    hidden = record({"messages": "[hidden]"}, {"generations": "[hidden]", "llm_output": "[hidden]"}, ended=1)
    result = hidden.result()
    assert result is not None
    assert (hidden.messages(), result.generations, result.llm_output) == ([], [[]], None)
