"""The mapping of messages of every LangChain class, with their tool calls."""

from __future__ import annotations

import functools
import operator
from typing import Any

import pytest
from langchain_core.messages import AIMessageChunk

from tests.support.request_log import LoggedCall, answer, human, input_messages, output_message, tagged


@pytest.mark.parametrize(
    ("message", "role"),
    [
        (tagged("SystemMessage", type="system", content="x"), "system"),
        (
            tagged("SystemMessage", type="system", content="x", additional_kwargs={"__openai_role__": "developer"}),
            "developer",
        ),
        (tagged("HumanMessage", type="human", content="x"), "user"),
        (tagged("AIMessage", type="ai", content="x"), "assistant"),
        (tagged("AIMessageChunk", type="AIMessageChunk", content="x"), "assistant"),
        (tagged("ToolMessage", type="tool", content="x", tool_call_id="c1"), "tool"),
        (tagged("FunctionMessage", type="function", content="x", name="f"), "function"),
        (tagged("ChatMessage", type="chat", role="developer", content="x"), "developer"),
        (tagged("ChatMessage", type="chat", role="narrator", content="x"), "user"),
        (tagged("ChatMessage", type="chat", role="tool", content="x"), "user"),
        (tagged("ChatMessage", type="chat", role="assistant", content="x"), "assistant"),
        (tagged("ChatMessageChunk", type="ChatMessageChunk", role="model", content="x"), "assistant"),
        (
            tagged("ChatMessage", type="chat", role="tool", content="x", additional_kwargs={"tool_call_id": "c1"}),
            "tool",
        ),
        (tagged("ChatMessage", type="chat", role="function", content="x", name="f"), "function"),
        (tagged("ChatMessage", type="chat", role="function", content="x"), "user"),
        (tagged("HumanMessageChunk", type="HumanMessageChunk", content="x"), "user"),
        (tagged("SystemMessageChunk", type="SystemMessageChunk", content="x"), "system"),
        (tagged("ToolMessageChunk", type="ToolMessageChunk", content="x", tool_call_id="c1"), "tool"),
        (tagged("FunctionMessageChunk", type="FunctionMessageChunk", content="x", name="f"), "function"),
        ({"role": "system", "content": "x"}, "system"),
        (tagged("BaseMessage", type="of my own", content="x"), "user"),
    ],
)
def test_each_message_type_has_its_role(message: dict[str, Any], role: str) -> None:
    assert input_messages(message)[0]["role"] == role
    assert input_messages(message)[0]["content"] == [{"type": "text", "text": "x"}]


def test_content_is_always_a_list() -> None:
    assert input_messages(tagged("HumanMessage", type="human", content=""))[0]["content"] == []


def test_a_tool_message_has_the_id_of_its_call() -> None:
    message = input_messages(
        tagged("ToolMessage", type="tool", content="4", tool_call_id="c1", name="add", artifact=[1])
    )[0]
    assert (message["tool_call_id"], message["name"]) == ("c1", "add")
    assert "artifact" not in message


def test_a_failed_tool_is_named_in_the_metadata() -> None:
    failed = tagged("ToolMessage", type="tool", content="boom", tool_call_id="c1", status="error")
    assert LoggedCall(start={"messages": [failed]}).log()["metadata"]["failed_tool_calls"] == "c1"


def test_a_remove_message_is_left_out() -> None:
    assert input_messages(tagged("RemoveMessage", type="remove", content="", id="m1")) == []


def test_tool_calls_carry_their_arguments_as_json() -> None:
    calls = [{"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}]
    message = output_message(answer("", tool_calls=calls))
    function = {"name": "add", "arguments": '{"a":1}'}
    assert message["tool_calls"] == [{"id": "c1", "type": "function", "function": function}]
    assert message["content"] == []


def test_tool_use_in_content_is_not_repeated() -> None:
    block = {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}}
    calls = [{"name": "add", "args": {"a": 1}, "id": "c1", "type": "tool_call"}]
    message = output_message(answer([block], tool_calls=calls))
    assert (len(message["tool_calls"]), message["content"]) == (1, [])


def test_tool_use_only_in_content_becomes_a_tool_call() -> None:
    block = {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}}
    assert output_message(answer([block]))["tool_calls"][0]["function"]["name"] == "add"


def test_invalid_tool_arguments_are_kept_and_make_a_warning() -> None:
    log = LoggedCall(
        end={"generations": [answer("", invalid_tool_calls=[{"name": "f", "args": "{oops", "id": None}])]}
    ).log()
    call = log["output"]["messages"][0]["tool_calls"][0]
    assert (call["id"], call["function"]["arguments"]) == ("call_0", "{oops")
    assert (log["status"], log["error_type"]) == ("WARNING", "PROVIDER_PARTIAL_RESPONSE")


BROKEN = ['{"a": 1, b', "{a", "{a}", '{"a": "Par', "[1]", '"text"', "oops"]


@pytest.mark.parametrize("written", BROKEN)
def test_broken_arguments_of_a_stream_are_the_text_that_the_model_wrote(written: str) -> None:
    middle = len(written) // 2
    pieces = [
        *(("f", "c0", '{"a": 0}', 0), ("g", "c1", written[:middle], 1), (None, None, written[middle:], 1)),
        ("h", "c2", '{"a": "two\nlines"}', 2),
        ("i", "c3", "", 3),
    ]
    chunks = [
        AIMessageChunk(content="", tool_call_chunks=[{"name": name, "id": call_id, "args": args, "index": index}])
        for name, call_id, args, index in pieces
    ]
    whole = functools.reduce(operator.add, chunks)
    generation = tagged("ChatGenerationChunk", text="", message=tagged("AIMessageChunk", **whole.model_dump()))
    log = LoggedCall(end={"generations": [generation]}).log()
    calls = log["output"]["messages"][0]["tool_calls"]
    assert [call["id"] for call in calls] == ["c0", "c1", "c2", "c3"]
    expected = ['{"a":0}', written, '{"a":"two\\nlines"}', "{}"]
    assert [call["function"]["arguments"] for call in calls] == expected
    assert log["error_message"] == "The model called a tool with arguments that are not JSON."


def test_a_message_in_the_input_has_the_arguments_that_the_provider_receives() -> None:
    chunk = AIMessageChunk(content="", tool_call_chunks=[{"name": "g", "id": "c1", "args": "{a", "index": 0}])
    (message,) = input_messages(tagged("AIMessageChunk", **chunk.model_dump()))
    assert message["tool_calls"][0]["function"]["arguments"] == "{}"


def test_a_role_that_promptlayer_does_not_have_becomes_the_name() -> None:
    assert input_messages(tagged("ChatMessage", type="chat", role="narrator", content="x"))[0]["name"] == "narrator"


def test_names_are_kept() -> None:
    assert input_messages(human("x", name="bo"))[0]["name"] == "bo"
    assert "name" not in input_messages(human("x", name=None))[0]


def test_an_output_message_of_an_unknown_type_is_the_assistants() -> None:
    generation = tagged("ChatGeneration", text="x", message=tagged("BaseMessage", type="of my own", content="x"))
    assert output_message(generation)["role"] == "assistant"


def test_a_value_that_is_not_a_message_becomes_text() -> None:
    messages = input_messages("words", {"a": 1}, 7)  # type: ignore[arg-type]
    assert [message["content"][0]["text"] for message in messages] == ["words", '{"a":1}', "7"]


def test_braces_do_not_become_variables() -> None:
    message = input_messages(human('{"a": {b}}'))[0]
    assert (message["template_format"], message["input_variables"]) == ("jinja2", [])


def test_an_answer_of_tool_calls_alone_has_a_list_for_content() -> None:
    contents: list[Any] = ["", [], None]
    for content in contents:
        message = output_message(answer(content, tool_calls=[{"name": "f", "args": {}, "id": "c1"}]))
        assert (message["content"], len(message["tool_calls"])) == ([], 1)


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_call", "id": "c1", "name": "add", "args": {"a": 1}},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "add", "arguments": '{"a":1}'},
        {"type": "custom_tool_call", "id": "ct_1", "call_id": "c1", "name": "add", "input": '{"a":1}'},
        {"type": "invalid_tool_call", "id": "c1", "name": "add", "args": '{"a":1}', "error": "odd"},
        {"toolUse": {"toolUseId": "c1", "name": "add", "input": {"a": 1}}},
    ],
)
def test_a_call_that_only_the_content_has_becomes_a_tool_call(block: dict[str, Any]) -> None:
    message = output_message(answer([block]))
    function = {"name": "add", "arguments": '{"a":1}'}
    assert message["tool_calls"] == [{"id": "c1", "type": "function", "function": function}]
    assert message["content"] == []
    known = output_message(answer([block], tool_calls=[{"name": "add", "args": {"a": 1}, "id": "c1"}]))
    assert len(known["tool_calls"]) == 1


def test_fragments_of_a_stream_are_left_out() -> None:
    assert output_message(answer(["x", {"type": "input_json_delta", "partial_json": "{"}]))["content"] == [
        {"type": "text", "text": "x"}
    ]


def test_a_call_in_openais_older_format_is_kept() -> None:
    message = output_message(answer("", additional_kwargs={"function_call": {"name": "add", "arguments": "{}"}}))
    assert message["function_call"] == {"name": "add", "arguments": "{}"}


@pytest.mark.parametrize(
    "block",
    [
        {"type": "tool_result", "tool_use_id": "c1", "content": "4"},
        {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "4"}], "is_error": False},
        {"type": "function_call_output", "call_id": "c1", "output": "4"},
        {"toolResult": {"toolUseId": "c1", "content": [{"text": "4"}], "status": "success"}},
        {"toolResult": {"toolUseId": "c1", "content": [{"json": 4}]}},
    ],
)
def test_a_tool_result_in_a_users_message_becomes_a_tool_message(block: dict[str, Any]) -> None:
    tool, user = input_messages(human([block, {"type": "text", "text": "And now?"}]))
    assert (tool["role"], tool["tool_call_id"], tool["content"]) == ("tool", "c1", [{"type": "text", "text": "4"}])
    assert (user["role"], user["content"]) == ("user", [{"type": "text", "text": "And now?"}])
    assert [message["role"] for message in input_messages(human([block]))] == ["tool"]
