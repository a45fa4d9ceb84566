"""What a record's events say only between the lines: model, provider, usage, tool calls.

Functions over event bodies in their plain form (``codec.plain``). Providers and LangChain versions put the same fact in
different places; each function lists the places it looks in, nearest to the truth first. Whatever is missing or of
another shape than expected counts as not said: a journal must be readable whatever a model integration wrote into it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypedDict

import orjson

__all__ = ["CallError", "Generation", "Usage"]


class Generation(TypedDict):
    """One candidate answer; ``message`` holds the fields of the LangChain message, ``None`` for text models."""

    text: str
    message: dict[str, Any] | None
    generation_info: dict[str, Any] | None


class CallError(TypedDict):
    """Why a call failed; ``status_code`` when the exception had one."""

    type: str
    message: str
    module: str | None
    status_code: int | None


class Usage(TypedDict, total=False):
    """Token counts, named as in LangChain's ``UsageMetadata``; details only when the provider gave them."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_token_details: dict[str, Any]
    output_token_details: dict[str, Any]


def fields(body: Mapping[str, Any], key: str) -> dict[str, Any]:
    """``body[key]`` if it is an object, else an empty one."""
    value = body.get(key)
    return value if isinstance(value, dict) else {}


def text(value: object) -> str | None:
    """``value`` if it is a text with something in it."""
    return value if isinstance(value, str) and value else None


def tags(start: Mapping[str, Any]) -> list[str]:
    """LangChain's tags, then the handler's; each once."""
    found: dict[str, None] = {}
    for key in ("tags", "pl_tags"):
        if isinstance(listed := start.get(key), list):
            for tag in listed:
                found[tag if isinstance(tag, str) else str(tag)] = None
    return list(found)


def class_name(start: Mapping[str, Any]) -> str | None:
    """The last part of the model class's path."""
    path = start.get("class")
    return text(path[-1]) if isinstance(path, list) and path else None


def model(metadata: Mapping[str, Any], params: Mapping[str, Any]) -> str | None:
    """The model's name as the request gave it."""
    if found := text(metadata.get("ls_model_name")):
        return found
    for key in ("model", "model_name", "model_id", "model_path"):
        if found := text(params.get(key)):
            return found
    return None


def short_model(name: str) -> str:
    """What a model is listed, found and sent by: its name, or the file name when it is the path of a local model.

    >>> short_model("/models/tiny.gguf"), short_model("meta-llama/Llama-3")
    ('tiny.gguf', 'meta-llama/Llama-3')
    """
    is_path = name.startswith(("/", ".", "~")) or "\\" in name or name.lower().endswith(".gguf")
    return re.split(r"[/\\]", name.rstrip("/\\"))[-1] if is_path else name


def answered_model(output: list[Generation]) -> str | None:
    """The model's name as the answer gave it."""
    metadata = _answer(output).get("response_metadata")
    return (text(metadata.get("model_name")) or text(metadata.get("model"))) if isinstance(metadata, dict) else None


def given(start: Mapping[str, Any]) -> list[Any]:
    """The input: messages, prompts, or what a decision model was given."""
    for key in ("messages", "prompts", "inputs"):
        if (value := start.get(key)) is not None:
            return value if isinstance(value, list) else [value]
    return []


def generations(end: Mapping[str, Any]) -> list[Generation]:
    """The candidates; a decision model's outputs count as one."""
    found = end.get("generations")
    output = [_generation(item) for item in found if isinstance(item, dict)] if isinstance(found, list) else []
    if not output and (outputs := end.get("outputs")) is not None:
        as_text = outputs if isinstance(outputs, str) else orjson.dumps(outputs).decode()
        output = [{"text": as_text, "message": None, "generation_info": None}]
    return output


def tool_calls(output: list[Generation]) -> list[dict[str, Any]]:
    """The tool calls of every candidate."""
    return [call for item in output for call in calls(item["message"] or {}, "tool_calls")]


def calls(message: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The tool calls under ``tool_calls`` or ``invalid_tool_calls`` of a message."""
    found = message.get(key)
    return [call for call in found if isinstance(call, dict)] if isinstance(found, list) else []


def usage(output: list[Generation], end: Mapping[str, Any]) -> Usage | None:
    """The answer's ``usage_metadata``, else what ``llm_output`` or a decision counted under one of its usual names."""
    counted = _answer(output).get("usage_metadata")
    if not isinstance(counted, dict) or not counted:
        elsewhere = fields(end, "llm_output") or fields(end, "outputs")
        counted = next((elsewhere[key] for key in ("token_usage", "usage") if elsewhere.get(key)), None)
    if not isinstance(counted, dict):
        return None
    asked = _count(counted, "input_tokens", "prompt_tokens")
    answered = _count(counted, "output_tokens", "completion_tokens")
    total = _count(counted, "total_tokens")
    if asked is None and answered is None and total is None:
        return None
    asked, answered = asked or 0, answered or 0
    found: Usage = {
        "input_tokens": asked,
        "output_tokens": answered,
        "total_tokens": asked + answered if total is None else total,
    }
    if isinstance(details := counted.get("input_token_details"), dict):
        found["input_token_details"] = details
    if isinstance(details := counted.get("output_token_details"), dict):
        found["output_token_details"] = details
    return found


def error(end: Mapping[str, Any], *, abandoned: bool) -> CallError | None:
    """What the call failed with; type ``Abandoned`` when its process ended before the call did."""
    if found := fields(end, "error"):
        status_code = found.get("status_code")
        return {
            "type": text(found.get("type")) or "Exception",
            "message": text(found.get("message")) or "",
            "module": text(found.get("module")),
            "status_code": status_code if isinstance(status_code, int) else None,
        }
    if not abandoned:
        return None
    message = "the process ended before the call did: the request was kept, an answer never came"
    return {"type": "Abandoned", "message": message, "module": None, "status_code": None}


def _generation(item: Mapping[str, Any]) -> Generation:
    message, info = item.get("message"), item.get("generation_info")
    return {
        "text": item["text"] if isinstance(item.get("text"), str) else "",
        "message": message if isinstance(message, dict) else None,
        "generation_info": info if isinstance(info, dict) else None,
    }


def _answer(output: list[Generation]) -> dict[str, Any]:
    return (output[0]["message"] or {}) if output else {}


def _count(counted: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        if isinstance(value := counted.get(name), int):
            return value
    return None
