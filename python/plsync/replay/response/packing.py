"""The compact form of a response: default fields dropped, large binaries moved to separate files.

People read and review recordings, and most of a message's dozen fields are empty. So a field that is missing has its
default value. A large base64 text moves into a file that is named by its content; a reference takes its place.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from plsync.journal.events.tagged import TAG

__all__ = ["BLOB", "REQUIRED", "default_value", "message_text", "pack"]

BLOB: Final = "blob"
"""The tag of a reference to a large binary."""
REQUIRED: Final[Any] = object()
"""The result of ``default_value`` for a field that has no default."""

# In bytes of base64. Below that a picture is short enough for a diff.
_LARGE: Final = 4096
_BASE64: Final = re.compile(r"(data:[^,]{0,200};base64,)?([A-Za-z0-9+/]+={0,2})", re.ASCII)

_MESSAGE: Final[Mapping[str, Any]] = {"additional_kwargs": {}, "response_metadata": {}, "name": None, "id": None}
_AI: Final[Mapping[str, Any]] = {**_MESSAGE, "tool_calls": [], "invalid_tool_calls": [], "usage_metadata": None}
_TOOL: Final[Mapping[str, Any]] = {**_MESSAGE, "artifact": None, "status": "success"}
_GENERATION: Final[Mapping[str, Any]] = {"generation_info": None}


def _defaults() -> dict[str, Mapping[str, Any]]:
    """The default values of each class's fields, ``type`` included."""
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


def pack(value: Any, store_blob: Callable[[bytes], str]) -> Any:
    """The compact form of parsed tagged JSON.

    Args:
        value: the parsed output of ``plsync._common.native.encode``. The value is not changed.
        store_blob: stores a large binary and returns its name.
    """
    if isinstance(value, str):
        return _move_base64(value, store_blob) if len(value) >= _LARGE else value
    if isinstance(value, list):
        return [pack(item, store_blob) for item in value]
    if not isinstance(value, dict):
        return value
    tag = value.get(TAG)
    packed = {key: pack(item, store_blob) for key, item in value.items()}
    if tag in ("bytes", "bytearray") and isinstance(packed.get("v"), dict):
        return {**packed["v"], "as": tag}
    if isinstance(tag, str) and tag in _DEFAULTS and isinstance(packed.get("v"), dict):
        packed["v"] = _without_defaults(tag, packed["v"])
    return packed


def default_value(tag: str, field: str) -> Any:
    """The value of a missing field in a packed object; ``REQUIRED`` for a field without a default.

    A default that is a container is empty. The caller makes a new one for each object.
    """
    return _DEFAULTS.get(tag, {}).get(field, REQUIRED)


def message_text(fields: Mapping[str, Any]) -> str | None:
    """The content of a packed generation's message, if it is a text: then the generation's ``text`` is left out."""
    message = fields.get("message")
    inner = message.get("v") if isinstance(message, dict) else None
    content = inner.get("content") if isinstance(inner, dict) else None
    return content if isinstance(content, str) else None


def _without_defaults(tag: str, fields: dict[str, Any]) -> dict[str, Any]:
    defaults = _DEFAULTS[tag]
    kept = {key: item for key, item in fields.items() if key not in defaults or not _same(item, defaults[key])}
    if "text" in kept and _same(kept["text"], message_text(fields)):
        del kept["text"]
    return kept


def _same(one: Any, other: Any) -> bool:
    # `==` treats True as 1 and 0.0 as 0, and either would come back with another type.
    return type(one) is type(other) and one == other


def _move_base64(text: str, store_blob: Callable[[bytes], str]) -> Any:
    found = _BASE64.fullmatch(text)
    if found is None:
        return text
    try:
        raw = base64.b64decode(found[2], validate=True)
    except (binascii.Error, ValueError):
        return text
    if base64.b64encode(raw).decode() != found[2]:  # another encoding of these bytes would not be restored
        return text
    blob: dict[str, Any] = {TAG: BLOB, "v": store_blob(raw)}
    return blob | {"before": found[1]} if found[1] else blob
