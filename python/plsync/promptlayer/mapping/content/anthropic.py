"""Maps the blocks of Anthropic's messages, in both directions."""

from __future__ import annotations

from collections.abc import Mapping

from plsync.promptlayer.mapping.content.blocks import Block, Converter, block_text, plain_text, thinking
from plsync.promptlayer.mapping.content.server_tools import arguments
from plsync.promptlayer.mapping.json_values import as_dict, json_text, string, text

__all__ = ["CONVERTERS"]


def _redacted_thinking(item: Block, _output: bool) -> list[Block] | None:
    return thinking("", item.get("data"))


def _server_tool_use(item: Block, _output: bool) -> list[Block] | None:
    call = {"id": text(item.get("id")), "name": text(item.get("name"))}
    return [{"type": "server_tool_use", **call, "input": arguments(item, "input")}]


def _web_search_tool_result(item: Block, _output: bool) -> list[Block] | None:
    found = item.get("content")
    if not isinstance(found, list):
        return None  # an error, for which PromptLayer has no format
    keys = ("url", "title", "encrypted_content")
    results = [
        {
            "type": "web_search_result",
            **{key: text(result.get(key)) for key in keys},
            "page_age": string(result.get("page_age")),
        }
        for result in map(as_dict, found)
    ]
    return [{"type": "web_search_tool_result", "tool_use_id": text(item.get("tool_use_id")), "content": results}]


def _file_or_shell_result(item: Block, _output: bool) -> list[Block] | None:
    if not isinstance(item.get("content"), dict):
        return None
    return [{"type": item["type"], "tool_use_id": text(item.get("tool_use_id")), "content": item["content"]}]


def _code_execution_tool_result(item: Block, _output: bool) -> list[Block] | None:
    result = as_dict(item.get("content"))
    if "stdout" not in result:
        return None
    printed = text(result.get("stdout")) + text(result.get("stderr"))
    outcome = "OUTCOME_FAILED" if result.get("return_code") else "OUTCOME_OK"
    return [{"type": "code_execution_result", "output": printed, "outcome": outcome}]


def _mcp_tool_use(item: Block, _output: bool) -> list[Block] | None:
    called = {"name": text(item.get("name")), "server_label": text(item.get("server_name"))}
    return [
        {"type": "mcp_call", "id": string(item.get("id")), **called, "arguments": json_text(arguments(item, "input"))}
    ]


def _mcp_tool_result(item: Block, _output: bool) -> list[Block] | None:
    output = block_text(item.get("content"))
    result = {"error": output} if item.get("is_error") is True else {"output": output}
    return [{"type": "mcp_call", "id": string(item.get("tool_use_id")), **result}]


def _search_result(item: Block, _output: bool) -> list[Block] | None:
    return plain_text("\n".join(filter(None, (block_text(item.get(key)) for key in ("title", "source", "content")))))


def _container_upload(item: Block, _output: bool) -> list[Block] | None:
    file_id = string(item.get("file_id"))
    return None if file_id is None else plain_text(f"[file {file_id}]")


CONVERTERS: Mapping[str, Converter] = {
    "redacted_thinking": _redacted_thinking,
    "server_tool_use": _server_tool_use,
    "web_search_tool_result": _web_search_tool_result,
    "bash_code_execution_tool_result": _file_or_shell_result,
    "text_editor_code_execution_tool_result": _file_or_shell_result,
    "code_execution_tool_result": _code_execution_tool_result,
    "mcp_tool_use": _mcp_tool_use,
    "mcp_tool_result": _mcp_tool_result,
    "search_result": _search_result,
    "container_upload": _container_upload,
}
