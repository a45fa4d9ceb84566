"""LangChain messages, as the dicts of their fields, as blueprint messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from plsync.promptlayer.mapping import tool_calls
from plsync.promptlayer.mapping.content import Block, contents
from plsync.promptlayer.mapping.content.blocks import plain_text, thinking
from plsync.promptlayer.mapping.content.citations import citations, grounding
from plsync.promptlayer.mapping.content.media import data_url
from plsync.promptlayer.mapping.json_values import as_dict, as_list, first, json_text, string, text

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
    """Blueprint messages. ``output``: a model made them.

    A ``RemoveMessage`` is an instruction to LangChain and left out. Whatever is no message is shown as text.

    >>> messages([{"type": "human", "content": "hi"}])[0]["role"]
    'user'
    """
    found: list[Message] = []
    for item in items:
        if not isinstance(item, dict) or "content" not in item:
            said = item if isinstance(item, str) else json_text(item)
            found.append(_message("assistant" if output else "user", plain_text(said)))
        elif item.get("type") != "remove":
            found += _converted(item, output)
    return found


def failed_tools(items: Iterable[Any]) -> list[str]:
    """The ``tool_call_id`` of each tool message that reports an error: blueprints have no place for that."""
    return [text(as_dict(item).get("tool_call_id")) for item in items if as_dict(item).get("status") == "error"]


def _converted(item: Message, output: bool) -> list[Message]:
    kind, name, content = item.get("type"), string(item.get("name")), item.get("content")
    role = _ROLES.get(kind) if isinstance(kind, str) else None
    if role is None:
        role, name = _spoken_role(item, name, output)
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


def _spoken_role(item: Message, name: str | None, output: bool) -> tuple[str, str | None]:
    """The ``role`` of a message whose class says nothing of it, and the name: of a role unknown here, the role."""
    spoken = string(item.get("role"))
    role = _ROLES.get(spoken or "")
    if role is None or (role == "tool" and _answered_call(item) is None) or (role == "function" and name is None):
        return "assistant" if output else "user", name or spoken
    return role, name


def _message(role: str, content: list[Block], name: str | None = None) -> Message:
    # jinja2, because PromptLayer's default reads the single braces of JSON and code as variables.
    built: Message = {"role": role, "content": content, "template_format": "jinja2", "input_variables": []}
    if name is not None:
        built["name"] = name
    return built


def _user(content: list[Any], name: str | None) -> list[Message]:
    """A user's message. Results of tools in it, as Anthropic and Bedrock want them, are messages of their own."""
    found: list[Message] = []
    rest: list[Any] = []
    for part in content:
        result = tool_calls.result(part)
        if result is None:
            rest.append(part)
        else:
            found.append({**_message("tool", contents(result.content)), "tool_call_id": result.call_id})
    if rest or not found:
        found.append(_message("user", contents(rest), name))
    return found


def _assistant(item: Message, name: str | None, output: bool) -> Message:
    content, beside = item.get("content"), as_dict(item.get("additional_kwargs"))
    parts = content if isinstance(content, list) else []
    said = contents(content if not parts else [part for part in parts if not tool_calls.is_call(part)], output=output)
    if beside:
        said = _with_what_is_beside(said, beside, output)
    _add_grounding(said, as_dict(item.get("response_metadata")))
    built = _message("assistant", said, name)
    made = tool_calls.tool_calls(item, parts)
    if made:
        built["tool_calls"] = made
    function = as_dict(beside.get("function_call"))
    if not made and string(function.get("name")):
        built["function_call"] = {"name": function["name"], "arguments": text(function.get("arguments"))}
    return built


def _with_what_is_beside(said: list[Block], beside: Message, output: bool) -> list[Block]:
    """Reasoning, refusals, audio and the calls of OpenAI's own tools, for which some providers leave the content."""
    reasoning = beside.get("reasoning_content") or beside.get("reasoning")
    if reasoning and not any(block["type"] == "thinking" for block in said):
        given = {"type": "reasoning", **reasoning} if isinstance(reasoning, dict) else None
        said = [*(contents([given]) if given else thinking(text(reasoning))), *said]
    refusal = string(beside.get("refusal"))
    if refusal is not None and not said:
        said = plain_text(refusal)
    outputs = as_list(beside.get("tool_outputs"))
    if outputs:
        said = [*contents(outputs, output=output), *said]
    audio = as_dict(beside.get("audio"))
    data = first(audio.get("data"), beside.get("audio"))
    if data is not None:
        url = data_url("audio/wav", data)
        heard = plain_text(text(audio.get("transcript"))) if not said else []
        media = {"type": "output_media", "url": url, "mime_type": "audio/wav", "media_type": "audio"}
        said = [*said, *heard, media]
    return said


def _add_grounding(said: list[Block], metadata: Message) -> None:
    if "grounding_metadata" not in metadata:
        return
    answer = next((block for block in said if block["type"] == "text" and "annotations" not in block), None)
    cited = citations(grounding(metadata["grounding_metadata"]), answer["text"]) if answer is not None else []
    if answer is not None and cited:
        answer["annotations"] = cited


def _answered_call(item: Message) -> str | None:
    return first(item.get("tool_call_id"), as_dict(item.get("additional_kwargs")).get("tool_call_id"))
