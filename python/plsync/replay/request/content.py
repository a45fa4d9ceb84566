"""The content of a message in the one form that requests are compared in.

The same picture reaches a model as LangChain's block of today or of yesterday, or as its provider's own; handlers are
shown it in yet another form (``_format_for_tracing`` and ``_normalize_messages`` of langchain_core). Here all of them
become ``{"type": "image", "data": "sha256:..."}``. What differs from run to run by itself is left out: ids of blocks,
their numbers in a stream, addresses of objects, signatures of links.

Everything here works on parsed tagged JSON (``docs/reference/events.md``), so that a call just made and one out of a
journal take the same way.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Any, Final

from plsync._common.redaction import without_credentials
from plsync.replay.request.urls import unsigned

__all__ = ["CallIds", "canonical_content", "clean"]

# Blocks that say again what ``tool_calls`` of the message says, each provider in its own way.
_TOOL_CALLS: Final = frozenset({"tool_use", "tool_call", "tool_call_chunk", "function_call", "input_json_delta"})
_VARYING: Final = frozenset({"id", "index"})
_MEDIA: Final = frozenset({"image", "audio", "video", "file", "document", "text-plain", "media"})

_ADDRESS: Final = re.compile(r"( at )0x[0-9a-fA-F]{6,16}\b")
_DATA_URL: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+)?[^,]{0,100}?;base64,", re.ASCII)


class CallIds:
    """Names for the ids of tool calls, by order of appearance: providers draw them at random."""

    def __init__(self) -> None:
        """Nothing is named yet."""
        self._names: dict[str, str] = {}

    def name(self, call_id: Any) -> Any:
        """``call_1`` for the first id, ``call_2`` for the next; what is no text stays."""
        if not isinstance(call_id, str):
            return call_id
        return self._names.setdefault(call_id, f"call_{len(self._names) + 1}")


def canonical_content(content: Any, ids: CallIds, *, calls_elsewhere: bool = False) -> Any:
    """A text, or a list of blocks; ``""`` when there is nothing.

    Args:
        content: the content of a message.
        ids: of the conversation.
        calls_elsewhere: the message lists its tool calls, so blocks that repeat them are left out.
    """
    if isinstance(content, str):
        return clean(content)
    if not isinstance(content, list):
        return "" if content is None else clean(content)
    blocks = [_block(item, ids) for item in content if not (calls_elsewhere and _repeats_a_call(item))]
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"} and blocks[0]["type"] == "text":
        return blocks[0]["text"]
    return blocks or ""


def clean(value: Any) -> Any:
    """A copy without the addresses of objects and the credentials in links."""
    if isinstance(value, str):
        if "0x" in value:
            value = _ADDRESS.sub(r"\g<1>0x", value)
        return without_credentials(value)
    if isinstance(value, dict):
        return {key: clean(item) for key, item in value.items()}
    return [clean(item) for item in value] if isinstance(value, list) else value


def _repeats_a_call(block: Any) -> bool:
    return isinstance(block, dict) and _kind(block) in _TOOL_CALLS


def _kind(block: dict[str, Any]) -> str | None:
    kind = block.get("type")
    return kind if isinstance(kind, str) else None


def _block(block: Any, ids: CallIds) -> dict[str, Any]:
    if isinstance(block, str):
        return {"type": "text", "text": clean(block)}
    if not isinstance(block, dict):
        return {"type": "other", "value": clean(block)}
    if "type" not in block and len(block) == 1:
        block = {"type": next(iter(block)), **block}
    if (media := _medium(block)) is not None:
        return media
    found = {}
    for key, value in block.items():
        if key in {"tool_call_id", "tool_use_id", "call_id"} or (key == "id" and _repeats_a_call(block)):
            found[key] = ids.name(value)
        elif key == "content":
            found[key] = canonical_content(value, ids)
        elif key not in _VARYING:
            found[key] = clean(value)
    return found


def _medium(block: dict[str, Any]) -> dict[str, Any] | None:
    """A picture, sound or file, known by what is in it or where it is; ``None`` when the block is none of these."""
    kind = _kind(block)
    inner = block.get(kind) if kind in {"image_url", "input_audio", "file"} else None
    if kind == "image_url":
        link = inner.get("url") if isinstance(inner, dict) else inner
        return {"type": "image", **_source(link=link)} if isinstance(link, str) else None
    if kind == "input_audio" and isinstance(inner, dict):
        return {"type": "audio", **_source(data=inner.get("data"))}
    if kind == "file" and isinstance(inner, dict):
        found = _source(link=inner.get("file_data"), file_id=inner.get("file_id"))
        return {"type": "file", **found, **_named(inner)}
    if kind not in _MEDIA:
        return None
    inner = block.get(str(kind))  # Amazon's blocks have everything one level down
    block = inner if isinstance(inner, dict) else block
    source = block.get("source")
    parts = source if isinstance(source, dict) else block
    is_id = parts.get("source_type") == "id"
    found = _source(
        data=_first(parts, "base64", "data", "bytes"),
        link=_first(parts, "url", "file_uri"),
        file_id=_first(parts, "file_id", *(["id"] if is_id else [])),
        text=parts.get("text"),
    )
    # The form handlers are shown keeps no name of a picture.
    return {"type": str(kind), **found, **({} if kind == "image" else _named(block))} if found else None


def _source(*, data: Any = None, link: Any = None, file_id: Any = None, text: Any = None) -> dict[str, Any]:
    # Not the media type: one form keeps it, another guesses it, and the bytes say what they are.
    if isinstance(link, str) and (found := _DATA_URL.match(link)):
        data, link = link[found.end() :], None
    if data is not None:
        return {"data": _fingerprint(data)}
    if isinstance(link, str):
        return {"url": unsigned(link)}
    if file_id is not None:
        return {"file_id": file_id}
    return {} if text is None else {"text": clean(text)}


def _first(block: dict[str, Any], *names: str) -> Any:
    return next((block[name] for name in names if block.get(name) is not None), None)


def _named(block: dict[str, Any]) -> dict[str, Any]:
    extras = block.get("extras")
    name = block.get("filename") or (extras.get("filename") if isinstance(extras, dict) else None)
    return {"filename": name} if name else {}


def _fingerprint(data: Any) -> str:
    if isinstance(data, dict) and isinstance(data.get("v"), str):  # bytes, as tagged JSON has them
        data = data["v"]
    text = data if isinstance(data, str) else repr(data)
    try:
        raw = base64.b64decode(text, validate=False)
    except (binascii.Error, ValueError):
        raw = text.encode("utf-8", "surrogatepass")
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"
