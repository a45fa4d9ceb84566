"""Maps LangChain messages, as the dicts of their fields, to blueprint messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from plsync.promptlayer.mapping import tool_calls
from plsync.promptlayer.mapping.content import Block, contents
from plsync.promptlayer.mapping.content.blocks import plain_text, thinking, unwrapped
from plsync.promptlayer.mapping.content.citations import citations, grounding
from plsync.promptlayer.mapping.content.media import data_url
from plsync.promptlayer.mapping.json_values import as_dict, as_list, first_string, json_text, string, text

__all__ = ["failed_tools", "messages"]

Message = dict[str, Any]

_ROLES = {
    "human": "user",
    "HumanMessageChunk": "user",
    "user": "user",
    "ai": "assistant",
    "AIMessageChunk": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "system": "system",
    "SystemMessageChunk": "system",
    "developer": "developer",
    "tool": "tool",
    "ToolMessageChunk": "tool",
    "function": "function",
    "FunctionMessageChunk": "function",
}


def messages(items: Iterable[Any], *, output: bool = False) -> list[Message]:
    """Map messages to blueprint messages.

    A ``RemoveMessage`` is an instruction to LangChain and left out. Any other value becomes a message with text.

    Args:
        items: the messages, each as the dict of its fields.
        output: whether a model made them.

    >>> messages([{"type": "human", "content": "hi"}])[0]["role"]
    'user'
    """
    found: list[Message] = []
    for item in items:
        if not isinstance(item, dict) or "content" not in item:
            content = item if isinstance(item, str) else json_text(item)
            found.append(_message("assistant" if output else "user", plain_text(content)))
        elif item.get("type") != "remove":
            found += _converted(item, output)
    return found


def failed_tools(items: Iterable[Any]) -> list[str]:
    """The ``tool_call_id`` of each tool message that reports an error. Blueprints have no field for it."""
    return [text(as_dict(item).get("tool_call_id")) for item in items if as_dict(item).get("status") == "error"]


def _converted(item: Message, output: bool) -> list[Message]:
    kind, name, content = item.get("type"), string(item.get("name")), item.get("content")
    role = _ROLES.get(kind) if isinstance(kind, str) else None
    if role is None:
        role, name = _role_by_name(item, name, output)
    if role == "assistant":
        return [_assistant(item, name, output)]
    if role == "user" and isinstance(content, list):
        return _user(content, name)
    if role == "system" and as_dict(item.get("additional_kwargs")).get("__openai_role__") == "developer":
        role = "developer"
    converted = _message(role, contents(content), name)
    if role == "tool":
        converted["tool_call_id"] = _answered_call(item) or ""
    if role == "function":
        converted["name"] = name or "function"
    return [converted]


def _role_by_name(item: Message, name: str | None, output: bool) -> tuple[str, str | None]:
    """The role and the name of a message whose class implies none. An unknown role becomes the name."""
    own_role = string(item.get("role"))
    role = _ROLES.get(own_role or "")
    if role is None or (role == "tool" and _answered_call(item) is None) or (role == "function" and name is None):
        return "assistant" if output else "user", name or own_role
    return role, name


def _message(role: str, content: list[Block], name: str | None = None) -> Message:
    # jinja2, because PromptLayer's default takes single braces in JSON and code for variables.
    built: Message = {"role": role, "content": content, "template_format": "jinja2", "input_variables": []}
    if name is not None:
        built["name"] = name
    return built


def _user(content: list[Any], name: str | None) -> list[Message]:
    """The messages of a user's message. Anthropic and Bedrock put tool results in it; each becomes a message."""
    found: list[Message] = []
    rest: list[Any] = []
    for part in map(unwrapped, content):
        result = tool_calls.result(part)
        if result is None:
            rest.append(part)
        else:
            found.append({**_message("tool", contents(result.content)), "tool_call_id": result.call_id})
    if rest or not found:
        found.append(_message("user", contents(rest), name))
    return found


def _assistant(item: Message, name: str | None, output: bool) -> Message:
    content, additional = item.get("content"), as_dict(item.get("additional_kwargs"))
    parts = [unwrapped(part) for part in content] if isinstance(content, list) else []
    blocks = contents(content if not parts else [part for part in parts if not tool_calls.is_call(part)], output=output)
    if additional:
        blocks = _with_additional(blocks, additional, output)
    _add_grounding(blocks, as_dict(item.get("response_metadata")))
    built = _message("assistant", blocks, name)
    calls = tool_calls.tool_calls(item, parts, output=output)
    if calls:
        built["tool_calls"] = calls
    function = as_dict(additional.get("function_call"))
    if not calls and string(function.get("name")):
        built["function_call"] = {"name": function["name"], "arguments": text(function.get("arguments"))}
    return built


def _with_additional(blocks: list[Block], additional: Message, output: bool) -> list[Block]:
    """Add the parts that some providers leave out of the content: reasoning, refusals, audio, OpenAI's own tools."""
    reasoning = additional.get("reasoning_content") or additional.get("reasoning")
    if reasoning and not any(block["type"] == "thinking" for block in blocks):
        structured = {"type": "reasoning", **reasoning} if isinstance(reasoning, dict) else None
        blocks = [*(contents([structured]) if structured else thinking(text(reasoning))), *blocks]
    refusal = string(additional.get("refusal"))
    if refusal is not None and not blocks:
        blocks = plain_text(refusal)
    outputs = as_list(additional.get("tool_outputs"))
    if outputs:
        blocks = [*contents(outputs, output=output), *blocks]
    audio = as_dict(additional.get("audio"))
    data = first_string(audio.get("data"), additional.get("audio"))
    if data is not None:
        url = data_url("audio/wav", data)
        transcript = plain_text(text(audio.get("transcript"))) if not blocks else []
        media = {"type": "output_media", "url": url, "mime_type": "audio/wav", "media_type": "audio"}
        blocks = [*blocks, *transcript, media]
    return blocks


def _add_grounding(blocks: list[Block], metadata: Message) -> None:
    if "grounding_metadata" not in metadata:
        return
    answer = next((block for block in blocks if block["type"] == "text" and "annotations" not in block), None)
    cited = citations(grounding(metadata["grounding_metadata"]), answer["text"]) if answer is not None else []
    if answer is not None and cited:
        answer["annotations"] = cited


def _answered_call(item: Message) -> str | None:
    return first_string(item.get("tool_call_id"), as_dict(item.get("additional_kwargs")).get("tool_call_id"))
