"""Tools that the provider runs: their arguments in streams, and their results in LangChain's standard blocks."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.messages import AIMessage

from plsync.promptlayer.mapping.messages import messages
from tests.support.request_log import answer, output_message

ARGUMENTS = '{"query": "paris weather"}'


@pytest.mark.parametrize(
    "block",
    [
        {"type": "server_tool_use", "input": {}, "partial_json": ARGUMENTS, "index": 2},
        {"type": "server_tool_use", "input": ARGUMENTS},
        {"type": "server_tool_call", "args": ARGUMENTS},
        {"type": "server_tool_call", "args": {"query": "paris weather"}},
        {"type": "server_tool_call_chunk", "args": ARGUMENTS, "index": 2},
        {
            "type": "non_standard",
            "value": {
                "type": "server_tool_use",
                "id": "s1",
                "name": "web_search",
                "input": {},
                "partial_json": ARGUMENTS,
            },
        },
    ],
    ids=lambda block: str(block)[:60],
)
def test_a_streamed_server_tool_has_its_arguments(block: dict[str, Any]) -> None:
    message = output_message(answer([{"id": "s1", "name": "web_search", **block}]))
    call = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "paris weather"}}
    assert message["content"] == [call]
    assert "tool_calls" not in message


def test_the_arguments_of_a_stream_that_was_cut_stay_as_text() -> None:
    block = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}, "partial_json": '{"query": "pa'}
    assert output_message(answer([block]))["content"][0]["input"] == {"arguments": '{"query": "pa'}
    call = {"type": "tool_use", "id": "t1", "name": "add", "input": {}, "partial_json": '{"a": 1'}
    assert output_message(answer([call]))["tool_calls"][0]["function"]["arguments"] == '{"a": 1'


def test_a_streamed_mcp_call_has_its_arguments() -> None:
    block = {
        "type": "mcp_tool_use",
        "id": "m1",
        "name": "find",
        "server_name": "s",
        "input": {},
        "partial_json": ARGUMENTS,
    }
    assert output_message(answer([block]))["content"][0]["arguments"] == '{"query":"paris weather"}'


OPENAI = [
    {
        "type": "web_search_call",
        "id": "w1",
        "status": "completed",
        "action": {"type": "search", "query": "q", "sources": [{"url": "u"}]},
    },
    {"type": "file_search_call", "id": "f1", "status": "completed", "queries": ["q"], "results": [{"text": "found"}]},
    {
        "type": "code_interpreter_call",
        "id": "c1",
        "status": "completed",
        "code": "print(4)",
        "container_id": "k",
        "outputs": [{"type": "logs", "logs": "4"}],
    },
    {
        "type": "mcp_call",
        "id": "m1",
        "status": "completed",
        "name": "find",
        "server_label": "s",
        "arguments": '{"q":1}',
        "output": "yes",
    },
    {
        "type": "mcp_call",
        "id": "m2",
        "status": "failed",
        "name": "find",
        "server_label": "s",
        "arguments": '{"q":1}',
        "error": "no",
    },
    {"type": "mcp_list_tools", "id": "l1", "server_label": "s", "tools": [{"name": "find", "input_schema": {}}]},
    {"type": "computer_call", "id": "p1", "call_id": "p", "action": {"type": "click"}, "status": "completed"},
]


@pytest.mark.parametrize("block", OPENAI, ids=lambda block: str(block["type"]))
def test_the_standard_blocks_of_openais_tools_are_sent_as_openais_own(block: dict[str, Any]) -> None:
    native = AIMessage([dict(block)], response_metadata={"model_provider": "openai"}, id="msg_1")
    standard = native.model_copy(update={"content": native.content_blocks})
    assert standard.content != native.content
    sent, expected = (messages([message.model_dump()], output=True) for message in (standard, native))
    assert sent == expected


def test_a_custom_tool_call_is_sent_once() -> None:
    block = {"type": "custom_tool_call", "id": "ct_1", "call_id": "c1", "name": "sql", "input": "select 1"}
    call = {"name": "sql", "args": {"__arg1": "select 1"}, "id": "c1", "type": "tool_call"}
    for content in (block, {"type": "non_standard", "value": block}):
        message = output_message(answer([content], tool_calls=[call]))
        assert message["content"] == []
        assert [found["id"] for found in message["tool_calls"]] == ["c1"]


@pytest.mark.parametrize("place", ["tool_call_chunks", "additional_kwargs", "content"])
def test_tool_calls_keep_the_models_order(place: str) -> None:
    ordered = [{"type": "tool_use", "id": f"c{index}", "name": "f", "input": {}} for index in range(3)]
    calls = [{"id": f"c{index}", "name": "f", "args": {}, "type": "tool_call"} for index in (0, 2)]
    broken = [{"id": "c1", "name": "f", "args": "{", "type": "invalid_tool_call"}]
    where: dict[str, Any] = {place: {"tool_calls": ordered} if place == "additional_kwargs" else ordered}
    message = output_message(answer(**{"content": "", **where}, tool_calls=calls, invalid_tool_calls=broken))
    assert [call["id"] for call in message["tool_calls"]] == ["c0", "c1", "c2"]


def test_a_whole_call_without_a_known_place_keeps_langchains_order() -> None:
    """OpenAI's Responses API with ``output_version="v0"`` has only the custom call in the content."""
    calls: list[Any] = [{"id": call_id, "name": "f", "args": {}, "type": "tool_call"} for call_id in ("c0", "c2")]
    broken = [{"id": "c1", "name": "f", "args": "{", "type": "invalid_tool_call"}]
    content = [{"type": "custom_tool_call", "id": "x", "call_id": "c2", "name": "f", "input": "a"}]
    message = output_message(answer(content, tool_calls=calls, invalid_tool_calls=broken))
    assert [call["id"] for call in message["tool_calls"]] == ["c0", "c2", "c1"]


ANTHROPIC: list[dict[str, Any]] = [
    {"type": "server_tool_use", "id": "s1", "name": "web_fetch", "input": {"url": "http://t"}},
    {"content": {"type": "web_fetch_result", "url": "http://t"}, "tool_use_id": "s1", "type": "web_fetch_tool_result"},
    {"content": [{"type": "text", "text": "no"}], "is_error": True, "tool_use_id": "m1", "type": "mcp_tool_result"},
    {"content": {"error_code": "unavailable"}, "tool_use_id": "s2", "type": "code_execution_tool_result"},
    {"type": "mcp_tool_use", "id": "m1", "name": "echo", "server_name": "srv", "input": {"a": 1}},
]


@pytest.mark.parametrize("block", ANTHROPIC, ids=lambda block: str(block["type"]))
def test_the_blocks_of_anthropics_tools_are_sent_alike_in_every_form(block: dict[str, Any]) -> None:
    native = AIMessage([dict(block)], response_metadata={"model_provider": "anthropic"})
    standard = native.model_copy(update={"content": native.content_blocks})
    streamed = native.model_copy(update={"content": [{**block, "index": 3}]})
    assert standard.content != native.content
    sent = [messages([message.model_dump()], output=True) for message in (native, standard, streamed)]
    assert sent[1:] == [sent[0]] * 2


@pytest.mark.parametrize(
    ("start", "mime"), [("iVBORw0KGgo=", "png"), ("/9j/4AAQ", "jpeg"), ("R0lGODlh", "gif"), ("AAAA", "jpeg")]
)
def test_an_image_without_a_type_has_the_type_of_its_bytes(start: str, mime: str) -> None:
    (block,) = output_message(answer([{"type": "image", "base64": start}]))["content"]
    assert (block["mime_type"], block["url"]) == (f"image/{mime}", f"data:image/{mime};base64,{start}")
