"""Arguments and results of tools that the provider runs, in the forms of streams and of LangChain's standard blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from plsync.promptlayer.mapping.content.blocks import Block
from plsync.promptlayer.mapping.json_values import JSON, as_dict, as_list, json_text, string, text

__all__ = ["arguments", "with_results"]


def arguments(item: Block, *names: str) -> JSON:
    """The arguments of a call. Text that is not a JSON object becomes ``{"arguments": text}``.

    A stream leaves the arguments as text, under their name or in ``partial_json``.

    Args:
        item: the block of the call.
        names: the keys of the arguments.

    >>> arguments({"input": {}, "partial_json": '{"query": "Paris"}'}, "input")
    {'query': 'Paris'}
    """
    for value in (*(item.get(name) for name in names), item.get("partial_json")):
        if isinstance(value, dict) and value:
            return value
        if isinstance(value, str) and value:
            return _parsed(value)
        if value and not isinstance(value, dict):
            return {"arguments": value}
    return {}


def _parsed(written: str) -> JSON:
    try:
        parsed = orjson.loads(written)
    except orjson.JSONDecodeError:
        return {"arguments": written}
    return parsed if isinstance(parsed, dict) else {"arguments": parsed}


def with_results(items: list[Any]) -> list[Any]:
    """The blocks, with each standard call of an OpenAI tool and its result joined in OpenAI's own form.

    LangChain splits the block of OpenAI's Responses API into a ``server_tool_call`` and a ``server_tool_result``.
    """
    results = {call_id: item for item in items if (call_id := _result_of(item)) is not None}
    if not results:
        return items
    joined = {string(call.get("id")) for call in _calls(items)} & results.keys()
    kept: list[Any] = []
    for item in items:
        call_id = string(as_dict(item).get("id"))
        if call_id is not None and call_id in joined and as_dict(item).get("type") == "server_tool_call":
            kept.append(_JOIN[item["name"]](item, results[call_id]))
        elif _result_of(item) not in joined:
            kept.append(item)
    return kept


def _calls(items: Iterable[Any]) -> list[Block]:
    blocks = map(as_dict, items)
    return [block for block in blocks if block.get("type") == "server_tool_call" and string(block.get("name")) in _JOIN]


def _result_of(item: Any) -> str | None:
    """The id of the call that a result belongs to. Results of other providers name the kind of their block."""
    block = as_dict(item)
    if block.get("type") != "server_tool_result" or string(as_dict(block.get("extras")).get("block_type")):
        return None
    return string(block.get("tool_call_id"))


def _web_search(call: Block, result: Block) -> Block:
    return _copy(call, "web_search_call", action={**arguments(call, "args"), **as_dict(result.get("output"))})


def _file_search(call: Block, result: Block) -> Block:
    queries = as_list(as_dict(call.get("args")).get("queries"))
    return _copy(call, "file_search_call", queries=queries, results=result.get("output"))


def _code_interpreter(call: Block, result: Block) -> Block:
    output = result.get("output")
    outputs = output if isinstance(output, list) else [] if output is None else [{"logs": text(output)}]
    status = "failed" if result.get("status") == "error" else "completed"
    container = as_dict(call.get("extras")).get("container_id", call.get("container_id"))
    code = as_dict(call.get("args")).get("code")
    return _copy(call, "code_interpreter_call", code=code, container_id=container, outputs=outputs, status=status)


def _mcp_call(call: Block, result: Block) -> Block:
    extras = as_dict(call.get("extras"))
    written = extras.get("arguments")
    return _copy(
        call,
        "mcp_call",
        name=extras.get("tool_name"),
        server_label=extras.get("server_label"),
        arguments=json_text(as_dict(call.get("args"))) if written is None else written,
        approval_request_id=extras.get("approval_request_id"),
        output=result.get("output"),
        error=as_dict(result.get("extras")).get("error"),
    )


def _mcp_list_tools(call: Block, result: Block) -> Block:
    server, error = as_dict(call.get("extras")).get("server_label"), as_dict(result.get("extras")).get("error")
    return _copy(call, "mcp_list_tools", server_label=server, tools=result.get("output"), error=error)


def _copy(call: Block, kind: str, **fields: Any) -> Block:
    return {"type": kind, "id": call.get("id"), **fields}


_JOIN: Mapping[str, Callable[[Block, Block], Block]] = {
    "web_search": _web_search,
    "file_search": _file_search,
    "code_interpreter": _code_interpreter,
    "remote_mcp": _mcp_call,
    "mcp_list_tools": _mcp_list_tools,
}
