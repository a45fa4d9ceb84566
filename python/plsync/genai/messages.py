"""Maps the messages of a record to the JSON of OpenTelemetry's ``gen_ai`` conventions.

The mapping to PromptLayer knows the content blocks of every provider. Its blocks become parts here.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import orjson

from plsync.promptlayer.mapping import messages as blueprint
from plsync.promptlayer.mapping import params, tools
from plsync.promptlayer.mapping.json_values import JSON, as_dict, string, text
from plsync.promptlayer.mapping.status import finish_reason

if TYPE_CHECKING:
    from plsync.journal.events.facts import Generation
    from plsync.journal.record import Record

__all__ = ["CONVENTIONS", "input_messages", "output_messages", "tool_calls", "tool_definitions", "tool_errors"]

CONVENTIONS: Final = "1.37.0"
"""The version of OpenTelemetry's conventions whose JSON schemas the messages follow."""

_PLAIN_ROLES: Final = {"human": "user", "system": "system", "ai": "assistant"}
# A message with one of these has more than its text.
_MORE: Final = ("tool_calls", "invalid_tool_calls", "additional_kwargs", "name", "role")
_ROLES: Final = {"function": "tool"}
_REASONS: Final = {
    "stop": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "content_filter": "content_filter",
    "safety": "content_filter",
    "refusal": "content_filter",
    "tool_calls": "tool_call",
    "tool_use": "tool_call",
    "function_call": "tool_call",
    "tool_call": "tool_call",
}
_MODALITIES: Final = frozenset({"image", "audio", "video"})


def input_messages(items: Iterable[Any]) -> list[JSON]:
    """The messages of a request, each with ``role`` and ``parts``.

    >>> input_messages([{"type": "human", "content": "hi"}])
    [{'role': 'user', 'parts': [{'type': 'text', 'content': 'hi'}]}]

    Args:
        items: the messages, each as the dict of its fields; a text is a prompt of the user.
    """
    return _messages(items, output=False)


def output_messages(generations: Iterable[Generation], *, failed: bool = False) -> list[JSON]:
    """The candidates of a response, each with ``role``, ``parts`` and ``finish_reason``.

    Args:
        generations: the candidates.
        failed: whether the call failed. A candidate without content is left out then.
    """
    found: list[JSON] = []
    for generation in generations:
        message = generation["message"]
        for answer in _messages([generation["text"] if message is None else message], output=True):
            if answer["parts"] or not failed:
                found.append({**answer, "finish_reason": _finish(generation, answer, failed=failed)})
    return found


def tool_definitions(record: Record) -> list[JSON]:
    """The tools that the request offered: functions with their schemas, and tools of the provider by their kinds."""
    settings = record.params
    offered = tools.tools(settings, params.provider_name(record.provider))
    if not offered:
        return []
    found: list[JSON] = []
    for tool in offered.get("tools", ()):
        if tool["type"] == "function":
            found.append({"type": "function", **tool["function"]})
        else:
            found.append({"type": tool["type"], "name": tool["name"]})
    return found + [{"type": "function", **function} for function in offered.get("functions", ())]


def tool_calls(messages: Iterable[JSON]) -> list[str]:
    """The names of the tools that the model called, in order."""
    return [part["name"] for message in messages for part in message["parts"] if part["type"] == "tool_call"]


def tool_errors(messages: list[JSON]) -> list[str]:
    """The names of the tools that failed since the last answer of the model: errors that this request reports first.

    A tool whose call is not among the messages is named by the message of its result, else by the id of the call.
    """
    failed: list[str] = []
    for at in range(len(messages) - 1, -1, -1):
        message = messages[at]
        if message["role"] == "assistant":
            break
        for part in message["parts"]:
            if part.get("status") == "error" and part["type"] == "tool_call_response":
                failed.append(_tool_name(part.get("id"), messages[:at]) or message.get("name") or text(part.get("id")))
    return failed[::-1]


def _tool_name(call_id: Any, messages: list[JSON]) -> str | None:
    for message in reversed(messages):
        for part in message["parts"]:
            if part["type"] == "tool_call" and part.get("id") == call_id:
                return string(part.get("name"))
    return None


def _messages(items: Iterable[Any], *, output: bool) -> list[JSON]:
    found: list[JSON] = []
    for item in items:
        plain = _plain(item)
        if plain is not None:
            found.append(plain)
        else:
            failed = frozenset(blueprint.failed_tools([item]))
            found += [_message(one, failed) for one in blueprint.messages([item], output=output)]
    return found


def _plain(item: Any) -> JSON | None:
    """A message whose content is one text, as most are; None for another one."""
    if type(item) is not dict:
        return None
    content, kind = item.get("content"), item.get("type")
    role = _PLAIN_ROLES.get(kind) if type(kind) is str else None
    if role is None or type(content) is not str:
        return None
    for key in _MORE:
        if item.get(key):
            return None
    metadata = item.get("response_metadata")
    if metadata and "grounding_metadata" in metadata:
        return None
    return {"role": role, "parts": [{"type": "text", "content": content}] if content else []}


def _message(mapped: JSON, failed: frozenset[str]) -> JSON:
    role = mapped["role"]
    role = _ROLES.get(role, role)
    if role == "tool":
        call_id = mapped.get("tool_call_id") or None
        part: JSON = {"type": "tool_call_response", "id": call_id, "response": _joined(mapped["content"])}
        # The conventions have no field for a tool that failed.
        parts = [{**part, "status": "error"} if text(call_id) in failed else part]
    else:
        parts = [_part(block) for block in mapped["content"]]
    for call in mapped.get("tool_calls", ()):
        function = call["function"]
        arguments = _parsed(function["arguments"])
        parts.append({"type": "tool_call", "id": call["id"], "name": function["name"], "arguments": arguments})
    if function := as_dict(mapped.get("function_call")):
        arguments = _parsed(function["arguments"])
        parts.append({"type": "tool_call", "id": None, "name": function["name"], "arguments": arguments})
    name = mapped.get("name")
    return {"role": role, "parts": parts, **({"name": name} if name else {})}


def _joined(blocks: list[JSON]) -> Any:
    """The result of a tool: its text, or else its parts."""
    if all(block["type"] == "text" for block in blocks):
        return "\n".join(block["text"] for block in blocks)
    return [_part(block) for block in blocks]


def _parsed(arguments: str) -> Any:
    try:
        return orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments


def _part(block: JSON) -> JSON:
    kind = block["type"]
    if kind == "text":
        return {"type": "text", "content": block["text"]}
    if kind == "thinking":
        return {"type": "reasoning", "content": block["thinking"]}
    if kind == "image_url":
        return _media(text(as_dict(block["image_url"]).get("url")), "image", None)
    if kind == "output_media":
        return _media(text(block["url"]), text(block["media_type"]), block["mime_type"])
    if kind == "media":
        return _file(block["media"])
    # The conventions allow parts of other types, with their own fields.
    return block


def _file(media: JSON) -> JSON:
    family = text(media["type"]).partition("/")[0]
    modality = family if family in _MODALITIES else "document"
    if media["format"] == "base64":
        return _blob(media["url"], modality, media["type"])
    return _media(text(media["url"]), modality, media["type"])


def _media(url: str, modality: str, mime: str | None) -> JSON:
    head, comma, data = url.partition(",")
    if url.startswith("data:") and comma and head.endswith(";base64"):
        return _blob(data, modality, head[len("data:") : -len(";base64")] or mime)
    return {"type": "uri", "modality": modality, "mime_type": mime, "uri": url}


def _blob(data: Any, modality: str, mime: str | None) -> JSON:
    return {"type": "blob", "modality": modality, "mime_type": mime, "content": data}


def _finish(generation: Generation, answer: JSON, *, failed: bool) -> str:
    reason = string(finish_reason(dict(generation)))
    if reason is not None:
        return _REASONS.get(reason.lower(), reason.lower())
    if failed:
        return "error"
    return "tool_call" if any(part["type"] == "tool_call" for part in answer["parts"]) else "stop"
