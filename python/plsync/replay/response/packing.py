"""Answers as a recording holds them: tagged JSON without what goes without saying, large binaries apart.

A message has a dozen fields, of which most are empty; a recording is read by people, so it holds the others. A field
that is missing has the value every message starts with. Base64 of some size moves into a file of its own, named by
its content, and its place says which.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from plsync.journal.events.tagged import TAG

__all__ = ["BLOB", "REQUIRED", "default", "pack", "text_of"]

BLOB: Final = "blob"
REQUIRED: Final[Any] = object()
# In bytes of base64. A smaller picture does no harm to a diff.
_LARGE: Final = 4096
_BASE64: Final = re.compile(r"(data:[^,]{0,200};base64,)?([A-Za-z0-9+/]+={0,2})", re.ASCII)

_MESSAGE: Final[Mapping[str, Any]] = {"additional_kwargs": {}, "response_metadata": {}, "name": None, "id": None}
_AI: Final[Mapping[str, Any]] = {**_MESSAGE, "tool_calls": [], "invalid_tool_calls": [], "usage_metadata": None}
_TOOL: Final[Mapping[str, Any]] = {**_MESSAGE, "artifact": None, "status": "success"}
_GENERATION: Final[Mapping[str, Any]] = {"generation_info": None}


def _defaults() -> dict[str, Mapping[str, Any]]:
    """By class, what its fields hold when nobody sets them, ``type`` among them."""
    plain = {"Human": "human", "System": "system", "Function": "function", "Chat": "chat"}
    found: dict[str, Mapping[str, Any]] = {}
    for name, kind in plain.items():
        found[f"{name}Message"] = {**_MESSAGE, "type": kind}
        found[f"{name}MessageChunk"] = {**_MESSAGE, "type": f"{name}MessageChunk"}
    return {
        **found,
        "AIMessage": {**_AI, "type": "ai"},
        "AIMessageChunk": {**_AI, "type": "AIMessageChunk", "tool_call_chunks": [], "chunk_position": None},
        "ToolMessage": {**_TOOL, "type": "tool"},
        "ToolMessageChunk": {**_TOOL, "type": "ToolMessageChunk"},
        "Generation": {**_GENERATION, "type": "Generation"},
        "GenerationChunk": {**_GENERATION, "type": "Generation"},
        "ChatGeneration": {**_GENERATION, "type": "ChatGeneration"},
        "ChatGenerationChunk": {**_GENERATION, "type": "ChatGenerationChunk"},
    }


_DEFAULTS: Final = _defaults()


def pack(value: Any, keep: Callable[[bytes], str]) -> Any:
    """The short form of parsed tagged JSON.

    Args:
        value: what ``plsync.journal.events.tagged.encode`` wrote, parsed. It is not changed.
        keep: stores a large binary and returns the name it is found by.
    """
    if isinstance(value, str):
        return _apart(value, keep) if len(value) >= _LARGE else value
    if isinstance(value, list):
        return [pack(item, keep) for item in value]
    if not isinstance(value, dict):
        return value
    tag = value.get(TAG)
    packed = {key: pack(item, keep) for key, item in value.items()}
    if tag in ("bytes", "bytearray") and isinstance(packed.get("v"), dict):
        return {**packed["v"], "as": tag}
    if tag in _DEFAULTS and isinstance(packed.get("v"), dict):
        packed["v"] = _without_defaults(tag, packed["v"])
    return packed


def default(tag: str, field: str) -> Any:
    """What a missing field of a packed object holds (if it is a container, an empty one); ``REQUIRED`` for nothing."""
    return _DEFAULTS.get(tag, {}).get(field, REQUIRED)


def text_of(fields: Mapping[str, Any]) -> str | None:
    """The text of a packed generation that does not say it: that of its message, whose content is a text."""
    message = fields.get("message")
    inner = message.get("v") if isinstance(message, dict) else None
    content = inner.get("content") if isinstance(inner, dict) else None
    return content if isinstance(content, str) else None


def _without_defaults(tag: str, fields: dict[str, Any]) -> dict[str, Any]:
    defaults = _DEFAULTS[tag]
    kept = {key: item for key, item in fields.items() if key not in defaults or not _same(item, defaults[key])}
    if "text" in kept and _same(kept["text"], text_of(fields)):
        del kept["text"]
    return kept


def _same(one: Any, other: Any) -> bool:
    # Not ==, for which True is 1 and an absent number 0.0 is 0.
    return type(one) is type(other) and one == other


def _apart(text: str, keep: Callable[[bytes], str]) -> Any:
    found = _BASE64.fullmatch(text)
    if found is None:
        return text
    try:
        raw = base64.b64decode(found[2], validate=True)
    except (binascii.Error, ValueError):
        return text
    if base64.b64encode(raw).decode() != found[2]:  # another way to write the same bytes would not come back
        return text
    blob: dict[str, Any] = {TAG: BLOB, "v": keep(raw)}
    return blob | {"before": found[1]} if found[1] else blob
