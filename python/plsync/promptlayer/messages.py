"""LangChain messages, as the dicts of their fields, as blueprint messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from plsync.promptlayer.content import CALL_TYPES, contents, thinking
from plsync.promptlayer.safe import as_dict, as_list, json_text, string, text

Message = dict[str, Any]

_ROLES = {
    "human": "user",
    "HumanMessageChunk": "user",
    "user": "user",
    "ai": "assistant",
    "AIMessageChunk": "assistant",
    "assistant": "assistant",
    "system": "system",
    "SystemMessageChunk": "system",
    "developer": "developer",
    "tool": "tool",
    "ToolMessageChunk": "tool",
    "function": "function",
    "FunctionMessageChunk": "function",
}
_FREE_ROLES = frozenset({"system", "developer", "user", "assistant"})
"""Roles that a ChatMessage may take as they are: the others need fields it does not have."""


def messages(items: Iterable[Any], *, output: bool = False) -> list[Message]:
    """Blueprint messages; a ``RemoveMessage`` is an instruction to LangChain and left out.

    >>> messages([{"type": "human", "content": "hi"}])[0]["role"]
    'user'
    """
    return [message(item, output=output) for item in items if as_dict(item).get("type") != "remove"]


def message(item: Any, *, output: bool = False) -> Message:
    """One message; what is no message becomes a user's text (an assistant's, in an output)."""
    role = _role(item)
    if role is None:
        words = item if isinstance(item, str) else json_text(item)
        return _message("assistant" if output else "user", contents(words))
    if role == "assistant":
        return _assistant(item, output)
    converted = _message(role, contents(item.get("content")), item.get("name"))
    if role == "tool":
        converted["tool_call_id"] = text(item.get("tool_call_id"))
    if role == "function":
        converted["name"] = string(item.get("name")) or "function"
    return converted


def failed_tools(items: Iterable[Any]) -> list[str]:
    """The ``tool_call_id`` of each tool message that reports an error: blueprints have no place for that."""
    return [text(as_dict(item).get("tool_call_id")) for item in items if as_dict(item).get("status") == "error"]


def has_invalid_calls(item: Any) -> bool:
    """Whether a model asked for a tool with arguments that could not be parsed."""
    return bool(as_list(as_dict(item).get("invalid_tool_calls")))


def _role(item: Any) -> str | None:
    if not isinstance(item, dict) or "content" not in item:
        return None
    kind = item.get("type")
    if kind in {"chat", "ChatMessageChunk"} or not isinstance(kind, str):
        role = item.get("role")
        return role if isinstance(role, str) and role in _FREE_ROLES else "user"
    if kind == "system" and as_dict(item.get("additional_kwargs")).get("__openai_role__") == "developer":
        return "developer"
    return _ROLES.get(kind)


def _message(role: str, content: list[Message], name: Any = None) -> Message:
    # jinja2, because PromptLayer's default reads the single braces of JSON and code as variables.
    built: Message = {"role": role, "content": content, "template_format": "jinja2", "input_variables": []}
    if string(name):
        built["name"] = text(name)
    return built


def _assistant(item: Message, output: bool) -> Message:
    content = item.get("content")
    parts = content if isinstance(content, list) else [content]
    said = contents([part for part in parts if as_dict(part).get("type") not in CALL_TYPES], output=output)
    reasoning = string(as_dict(item.get("additional_kwargs")).get("reasoning_content"))
    if reasoning is not None and not any(block["type"] == "thinking" for block in said):
        said.insert(0, thinking(reasoning))
    built = _message("assistant", said, item.get("name"))
    calls = _tool_calls(item, parts)
    if calls:
        built["tool_calls"] = calls
    return built


def _tool_calls(item: Message, parts: list[Any]) -> list[Message]:
    """``tool_calls`` first; then what only ``invalid_tool_calls`` or the content's own blocks know of."""
    candidates = [as_dict(call) for call in as_list(item.get("tool_calls")) + as_list(item.get("invalid_tool_calls"))]
    known = {call.get("id") for call in candidates if isinstance(call.get("id"), str)}
    for part in parts:
        block = as_dict(part)
        if block.get("type") in CALL_TYPES and string(block.get("name")):
            call_id = block.get("call_id") or block.get("id")
            named = any(call.get("name") == block["name"] for call in candidates)
            if not (call_id in known if isinstance(call_id, str) else named):
                candidates.append({**block, "id": call_id})
    return [_tool_call(call, index) for index, call in enumerate(candidates)]


def _tool_call(call: Message, index: int) -> Message:
    arguments: Any = next((call[key] for key in ("args", "input", "arguments") if call.get(key) is not None), {})
    function = {"name": text(call.get("name")), "arguments": text(arguments)}
    return {"id": string(call.get("id")) or f"call_{index}", "type": "function", "function": function}
