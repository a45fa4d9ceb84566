"""Maps tool calls: the calls that LangChain has parsed, and calls that are only in the content of a message."""

from __future__ import annotations

from typing import Any, NamedTuple

from plsync.journal.events.tool_arguments import broken_arguments
from plsync.promptlayer.mapping.json_values import JSON, as_dict, as_list, first_string, string, text

__all__ = ["Result", "has_invalid", "is_call", "result", "tool_calls"]

_CALLS = frozenset(
    {"tool_call", "tool_call_chunk", "tool_use", "function_call", "custom_tool_call", "invalid_tool_call"}
)
_PIECES = frozenset({"input_json_delta"})
"""Fragments of a stream. ``tool_calls`` has the whole call."""


class Result(NamedTuple):
    """The result of a tool, out of a block of a message."""

    call_id: str
    content: Any


def is_call(part: Any) -> bool:
    """Whether a block repeats a call of the message's ``tool_calls``.

    >>> is_call({"type": "tool_use", "name": "add"}), is_call({"type": "text", "text": "hi"})
    (True, False)
    """
    kind = as_dict(part).get("type")
    return (isinstance(kind, str) and (kind in _CALLS or kind in _PIECES)) or (
        kind is None and isinstance(as_dict(part).get("toolUse"), dict)
    )


def tool_calls(message: JSON, parts: list[Any], *, output: bool = False) -> list[JSON]:
    """The calls of ``tool_calls``, of ``invalid_tool_calls`` and of the content's blocks, in the model's order.

    The arguments are JSON text. Invalid arguments are the text that the model wrote.

    Args:
        message: the fields of the message.
        parts: the blocks of its content.
        output: whether a model made the message. Of other messages the provider receives only the parsed arguments.
    """
    calls = [as_dict(call) for call in as_list(message.get("tool_calls"))]
    if output:
        calls = _with_broken_arguments(calls, message)
    found = calls + [as_dict(call) for call in as_list(message.get("invalid_tool_calls"))]
    blocks = [{**part, **as_dict(part.get("toolUse"))} for part in parts if is_call(part)]
    if blocks:
        _add_unknown(found, blocks)
    if as_list(message.get("invalid_tool_calls")) and len(found) > 1:
        _sort(found, message, blocks)
    return [_tool_call(call, index) for index, call in enumerate(found)]


def _with_broken_arguments(calls: list[JSON], message: JSON) -> list[JSON]:
    texts = broken_arguments({**message, "tool_calls": calls})
    return [call if text is None else {**call, "args": text} for call, text in zip(calls, texts, strict=True)]


def _add_unknown(found: list[JSON], blocks: list[JSON]) -> None:
    known = {call.get("id") for call in found if isinstance(call.get("id"), str)}
    names = {call.get("name") for call in found if isinstance(call.get("name"), str)}
    for block in blocks:
        name, call_id = string(block.get("name")), _id(block)
        if name is not None and (call_id not in known if call_id is not None else name not in names):
            found.append({**block, "id": call_id})


def _sort(found: list[JSON], message: JSON, blocks: list[JSON]) -> None:
    """Sort the calls in the order of the answer, as far as it is known.

    A call whose place is unknown stays behind the call before it. A broken one goes to the end.
    """
    additional = as_dict(message.get("additional_kwargs"))
    ordered = [*blocks, *as_list(message.get("tool_call_chunks")), *as_list(additional.get("tool_calls"))]
    places: dict[str, int] = {}
    for call in map(as_dict, ordered):
        if (call_id := _id(call)) is not None:
            places.setdefault(call_id, len(places))
    keys: list[int] = []
    for number, call in enumerate(found):
        is_whole = number < len(as_list(message.get("tool_calls")))
        unknown = (keys[-1] if keys else -1) if is_whole else len(places)
        keys.append(places.get(_id(call) or "", unknown))
    found[:] = [call for _, call in sorted(zip(keys, found, strict=True), key=lambda pair: pair[0])]


def _id(call: JSON) -> str | None:
    return first_string(call.get("call_id"), call.get("toolUseId"), call.get("id"))


def has_invalid(message: Any) -> bool:
    """Whether a message has a tool call whose arguments could not be parsed."""
    fields = as_dict(message)
    return bool(as_list(fields.get("invalid_tool_calls"))) or any(broken_arguments(fields))


def result(part: Any) -> Result | None:
    """The result of a tool in a block: Anthropic's ``tool_result``, OpenAI's ``function_call_output``, ...

    >>> result({"type": "tool_result", "tool_use_id": "c1", "content": "4"})
    Result(call_id='c1', content='4')
    """
    block = as_dict(part)
    kind = block.get("type")
    if kind == "tool_result":
        return Result(text(block.get("tool_use_id")), block.get("content"))
    if kind in ("function_call_output", "custom_tool_call_output"):
        return Result(text(block.get("call_id")), block.get("output"))
    bedrock = as_dict(block.get("toolResult"))
    if kind is None and bedrock:
        content = [_unwrapped(item) for item in as_list(bedrock.get("content"))]
        return Result(text(bedrock.get("toolUseId")), content)
    return None


def _unwrapped(item: Any) -> Any:
    """A tool's JSON without the dict that Bedrock puts around it."""
    return item["json"] if isinstance(item, dict) and set(item) == {"json"} else item


def _tool_call(call: JSON, index: int) -> JSON:
    keys = ("partial_json", "args", "input", "arguments") if call.get("input") == {} else ("args", "input", "arguments")
    arguments = next((call[key] for key in keys if call.get(key) is not None), None)
    function = {"name": text(call.get("name")), "arguments": "{}" if arguments is None else text(arguments)}
    return {"id": string(call.get("id")) or f"call_{index}", "type": "function", "function": function}
