"""Maps the blocks of OpenAI's interfaces, most of which are the Responses API's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plsync.promptlayer.mapping.content.blocks import Block, Converter, plain_text
from plsync.promptlayer.mapping.content.media import data_url
from plsync.promptlayer.mapping.json_values import as_dict, as_list, json_text, string, text

__all__ = ["CONVERTERS"]

_Fields = Mapping[str, Any]
"""Names of fields to copy, each with its value when the field is missing or of another type."""


def _refusal(item: Block, _output: bool) -> list[Block] | None:
    return plain_text(text(item.get("refusal")))


def _search_call(item: Block, _output: bool) -> list[Block] | None:
    """A search that OpenAI ran, with its results as JSON text."""
    arguments = as_dict(item.get("action")) or {"queries": as_list(item.get("queries"))}
    name = item["type"].removesuffix("_call")
    call: Block = {"type": "server_tool_use", "id": text(item.get("id")), "name": name, "input": arguments}
    return [call, *(plain_text(json_text(item["results"])) if item.get("results") else [])]


def _code_interpreter_call(item: Block, _output: bool) -> list[Block] | None:
    call = {"type": "code", "code": text(item.get("code")), **_copied(item, {"id": None, "container_id": None})}
    outputs = [as_dict(output) for output in as_list(item.get("outputs"))]
    results = [text(output.get("logs") or output.get("url") or output) for output in outputs]
    outcome = {"outcome": "OUTCOME_FAILED"} if item.get("status") == "failed" else {}
    return [call, *({"type": "code_execution_result", "output": result, **outcome} for result in results)]


def _image_generation_call(item: Block, _output: bool) -> list[Block] | None:
    image = string(item.get("result"))
    if image is None:
        return None
    mime = f"image/{string(item.get('output_format')) or 'png'}"
    media = {"type": "output_media", "url": data_url(mime, image), "mime_type": mime, "media_type": "image"}
    return [{**media, "id": string(item.get("id"))}]


def _same_names(fields: _Fields, kind: str | None = None) -> Converter:
    """A converter for a block whose fields have the same names at PromptLayer."""

    def convert(item: Block, _output: bool) -> list[Block] | None:
        return [{"type": kind or item["type"], **_copied(item, fields)}]

    return convert


def _copied(item: Block, fields: _Fields) -> Block:
    return {name: _coerced(item.get(name), missing) for name, missing in fields.items()}


def _coerced(value: Any, missing: Any) -> Any:
    """The value in the type of its default: a list of objects, an object, a text, or a text or None."""
    if isinstance(missing, list):
        return [item for item in as_list(value) if isinstance(item, dict)]
    if isinstance(missing, dict):
        return as_dict(value)
    if missing is None:
        return None if value is None else text(value)
    return text(value)


_CALL = {"id": None, "call_id": None, "status": None}

CONVERTERS: Mapping[str, Converter] = {
    "refusal": _refusal,
    "web_search_call": _search_call,
    "file_search_call": _search_call,
    "computer_call": _search_call,
    "code_interpreter_call": _code_interpreter_call,
    "image_generation_call": _image_generation_call,
    "mcp_list_tools": _same_names({"id": None, "server_label": "", "tools": [], "error": None}),
    "mcp_call": _same_names(
        {"id": None, "name": "", "server_label": "", "arguments": "", "output": None, "error": None}
        | {"approval_request_id": None}
    ),
    "mcp_approval_request": _same_names({"id": None, "name": "", "arguments": "", "server_label": ""}),
    "shell_call": _same_names({**_CALL, "action": {}}),
    "local_shell_call": _same_names({**_CALL, "action": {}}, "shell_call"),
    "shell_call_output": _same_names({**_CALL, "output": []}),
    "apply_patch_call": _same_names({**_CALL, "operation": {}}),
    "apply_patch_call_output": _same_names({**_CALL, "output": None}),
}
