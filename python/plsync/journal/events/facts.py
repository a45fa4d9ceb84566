"""Extracts facts from the events of a call: model, provider, usage, tool calls.

The functions take event bodies in plain form (:func:`plsync.journal.events.tagged.to_plain`). Providers and versions
of LangChain store one fact in different places. Each function reads these places in order, the most reliable first. A
value that is missing or has another shape counts as absent: a journal stays readable with every model integration.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypedDict

import orjson

__all__ = ["CallError", "Generation", "Usage"]


class Generation(TypedDict):
    """One candidate of a response. ``message`` has the fields of the LangChain message; ``None`` for text models."""

    text: str
    message: dict[str, Any] | None
    generation_info: dict[str, Any] | None


class CallError(TypedDict):
    """Why a call failed. ``status_code`` comes from the exception, or is absent (None)."""

    type: str
    message: str
    module: str | None
    status_code: int | None


class Usage(TypedDict, total=False):
    """Token counts, named as in LangChain's ``UsageMetadata``; details only when the provider reports them."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_token_details: dict[str, Any]
    output_token_details: dict[str, Any]


def dict_at(body: Mapping[str, Any], key: str) -> dict[str, Any]:
    """``body[key]`` if it is a dict, else an empty dict."""
    value = body.get(key)
    return value if isinstance(value, dict) else {}


def nonempty_text(value: object) -> str | None:
    """``value`` if it is a text and not empty, else None."""
    return value if isinstance(value, str) and value else None


def tags(start: Mapping[str, Any]) -> list[str]:
    """LangChain's tags, then the handler's ``pl_tags``; each once."""
    found: dict[str, None] = {}
    for key in ("tags", "pl_tags"):
        if isinstance(listed := start.get(key), list):
            for tag in listed:
                found[tag if isinstance(tag, str) else str(tag)] = None
    return list(found)


def class_name(start: Mapping[str, Any]) -> str | None:
    """The name of the model class: the last part of its path."""
    path = start.get("class")
    return nonempty_text(path[-1]) if isinstance(path, list) and path else None


def model(metadata: Mapping[str, Any], params: Mapping[str, Any]) -> str | None:
    """The model's name in the request."""
    if found := nonempty_text(metadata.get("ls_model_name")):
        return found
    for key in ("model", "model_name", "model_id", "model_path"):
        if found := nonempty_text(params.get(key)):
            return found
    return None


def short_model(name: str) -> str:
    """The name under which a model is listed, found and sent. Of the path of a local model: the file name.

    >>> short_model("/models/tiny.gguf"), short_model("meta-llama/Llama-3")
    ('tiny.gguf', 'meta-llama/Llama-3')
    """
    is_path = name.startswith(("/", ".", "~")) or "\\" in name or name.lower().endswith(".gguf")
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1] if is_path else name


def response_model(output: list[Generation]) -> str | None:
    """The model's name in the response."""
    metadata = _first_message(output).get("response_metadata")
    return (
        (nonempty_text(metadata.get("model_name")) or nonempty_text(metadata.get("model")))
        if isinstance(metadata, dict)
        else None
    )


def inputs(start: Mapping[str, Any]) -> list[Any]:
    """The input: messages, prompts, or the inputs of a decision model."""
    for key in ("messages", "prompts", "inputs"):
        if (value := start.get(key)) is not None:
            return value if isinstance(value, list) else [value]
    return []


def generations(end: Mapping[str, Any]) -> list[Generation]:
    """The candidates of the response. The outputs of a decision model count as one candidate."""
    found = end.get("generations")
    output = [_generation(item) for item in found if isinstance(item, dict)] if isinstance(found, list) else []
    if not output and (outputs := end.get("outputs")) is not None:
        as_text = outputs if isinstance(outputs, str) else orjson.dumps(outputs).decode()
        output = [{"text": as_text, "message": None, "generation_info": None}]
    return output


def tool_calls(output: list[Generation]) -> list[dict[str, Any]]:
    """The tool calls of every candidate."""
    return [call for item in output for call in tool_calls_at(item["message"] or {}, "tool_calls")]


def tool_calls_at(message: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The tool calls under ``tool_calls`` or ``invalid_tool_calls`` of a message."""
    found = message.get(key)
    return [call for call in found if isinstance(call, dict)] if isinstance(found, list) else []


def usage(output: list[Generation], end: Mapping[str, Any]) -> Usage | None:
    """The tokens used: ``usage_metadata`` of the first message, else the counts in ``llm_output`` or in a decision."""
    counted = _first_message(output).get("usage_metadata")
    if not isinstance(counted, dict) or not counted:
        elsewhere = dict_at(end, "llm_output") or dict_at(end, "outputs")
        counted = next((elsewhere[key] for key in ("token_usage", "usage") if elsewhere.get(key)), None)
    if not isinstance(counted, dict):
        return None
    input_tokens = _count(counted, "input_tokens", "prompt_tokens")
    output_tokens = _count(counted, "output_tokens", "completion_tokens")
    total = _count(counted, "total_tokens")
    if input_tokens is None and output_tokens is None and total is None:
        return None
    input_tokens, output_tokens = input_tokens or 0, output_tokens or 0
    found: Usage = {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "total_tokens": input_tokens + output_tokens if total is None else total,
    }
    if isinstance(details := counted.get("input_token_details"), dict):
        found["input_token_details"] = details
    if isinstance(details := counted.get("output_token_details"), dict):
        found["output_token_details"] = details
    return found


def error(end: Mapping[str, Any], *, abandoned: bool) -> CallError | None:
    """The error of the call. The type is ``Abandoned`` when its process ended before the call."""
    if found := dict_at(end, "error"):
        status_code = found.get("status_code")
        return {
            "type": nonempty_text(found.get("type")) or "Exception",
            "message": nonempty_text(found.get("message")) or "",
            "module": nonempty_text(found.get("module")),
            "status_code": status_code if isinstance(status_code, int) else None,
        }
    if not abandoned:
        return None
    message = "the process ended before the call did: the journal has the request, and no response"
    return {"type": "Abandoned", "message": message, "module": None, "status_code": None}


def _generation(item: Mapping[str, Any]) -> Generation:
    message, info = item.get("message"), item.get("generation_info")
    return {
        "text": item["text"] if isinstance(item.get("text"), str) else "",
        "message": message if isinstance(message, dict) else None,
        "generation_info": info if isinstance(info, dict) else None,
    }


def _first_message(output: list[Generation]) -> dict[str, Any]:
    return (output[0]["message"] or {}) if output else {}


def _count(counted: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        if isinstance(value := counted.get(name), int):
            return value
    return None
