"""The canonical form of a message's content.

One picture reaches a model as a block of LangChain 0.x, of LangChain 1.x, or of its provider. Handlers receive a fourth
form (``_format_for_tracing`` and ``_normalize_messages`` of langchain_core). All four become
``{"type": "image", "data": "sha256:..."}``. The canonical form leaves out values that differ in every run: ids and
numbers of blocks, addresses of objects, signatures of URLs.

The functions take parsed tagged JSON (``docs/reference/events.md``). So a live call and a record of a journal get the
same form.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Any, Final

from plsync._common.redaction import redact_urls
from plsync.replay.request.urls import without_signature

__all__ = ["CallIds", "canonical_content", "scrub", "without_cache_marks"]

# Blocks that repeat an item of the message's ``tool_calls`` in the provider's form.
_TOOL_CALLS: Final = frozenset({"tool_use", "tool_call", "tool_call_chunk", "function_call", "input_json_delta"})
# A mark for the provider's prompt cache changes the price of a request, and not its answer.
_CACHE_MARK: Final = "cache_control"
_VARYING: Final = frozenset({"id", "index", _CACHE_MARK})
_MEDIA: Final = frozenset({"image", "audio", "video", "file", "document", "text-plain", "media"})

_ADDRESS: Final = re.compile(r"( at )0x[0-9a-fA-F]{6,16}\b")
_DATA_URL: Final = re.compile(r"data:([\w.+-]{1,100}/[\w.+-]{1,100})?[^,]{0,100}?;base64,", re.ASCII)


class CallIds:
    """Stable names for the ids of tool calls, by order of appearance: providers generate the ids at random."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def name(self, call_id: Any) -> Any:
        """``call_1`` for the first id, ``call_2`` for the next. A value that is not a text is returned unchanged."""
        if not isinstance(call_id, str):
            return call_id
        return self._names.setdefault(call_id, f"call_{len(self._names) + 1}")


def canonical_content(content: Any, ids: CallIds, *, skip_tool_calls: bool = False) -> Any:
    """A text, or a list of blocks; ``""`` for empty content.

    Args:
        content: the content of a message.
        ids: the ids of the conversation.
        skip_tool_calls: leave out the blocks that repeat the ``tool_calls`` of the message.
    """
    if isinstance(content, str):
        return scrub(content)
    if not isinstance(content, list):
        return "" if content is None else scrub(content)
    blocks = [_block(item, ids) for item in content if not (skip_tool_calls and _is_tool_call(item))]
    return _as_text(blocks)


def without_cache_marks(body: dict[str, Any]) -> dict[str, Any]:
    """The body of a recorded request without marks for the provider's prompt cache, which an older plsync stored."""
    messages = body.get("messages")
    if not isinstance(messages, list):
        return body
    return {**body, "messages": [_without_marks(message) for message in messages]}


def _without_marks(message: Any) -> Any:
    content = message.get("content") if isinstance(message, dict) else None
    if not isinstance(content, list):
        return message
    blocks = [
        {key: item for key, item in block.items() if key != _CACHE_MARK} if isinstance(block, dict) else block
        for block in content
    ]
    return message if blocks == content else {**message, "content": _as_text(blocks)}


def _as_text(blocks: list[Any]) -> Any:
    """The text of a single block of text; otherwise the blocks."""
    if len(blocks) == 1 and isinstance(blocks[0], dict) and blocks[0].keys() == {"type", "text"}:
        return blocks[0]["text"] if blocks[0]["type"] == "text" else blocks
    return blocks or ""


def scrub(value: Any) -> Any:
    """A copy without addresses of objects and without credentials in URLs."""
    if isinstance(value, str):
        if "0x" in value:
            value = _ADDRESS.sub(r"\g<1>0x", value)
        return redact_urls(value)
    if isinstance(value, dict):
        return {key: scrub(item) for key, item in value.items()}
    return [scrub(item) for item in value] if isinstance(value, list) else value


def _is_tool_call(block: Any) -> bool:
    return isinstance(block, dict) and _block_type(block) in _TOOL_CALLS


def _block_type(block: dict[str, Any]) -> str | None:
    kind = block.get("type")
    return kind if isinstance(kind, str) else None


def _block(block: Any, ids: CallIds) -> dict[str, Any]:
    if isinstance(block, str):
        return {"type": "text", "text": scrub(block)}
    if not isinstance(block, dict):
        return {"type": "other", "value": scrub(block)}
    if "type" not in block and len(block) == 1:
        block = {"type": next(iter(block)), **block}
    if (media := _media_block(block)) is not None:
        return media
    found = {}
    for key, value in block.items():
        if key in {"tool_call_id", "tool_use_id", "call_id"} or (key == "id" and _is_tool_call(block)):
            found[key] = ids.name(value)
        elif key == "content":
            found[key] = canonical_content(value, ids)
        elif key not in _VARYING:
            found[key] = scrub(value)
    return found


def _media_block(block: dict[str, Any]) -> dict[str, Any] | None:
    """A picture, sound or file, identified by its bytes or its URL; ``None`` for any other block."""
    kind = _block_type(block)
    inner = block.get(kind) if kind in {"image_url", "input_audio", "file"} else None
    if kind == "image_url":
        url = inner.get("url") if isinstance(inner, dict) else inner
        return {"type": "image", **_media_source(url=url)} if isinstance(url, str) else None
    if kind == "input_audio" and isinstance(inner, dict):
        return {"type": "audio", **_media_source(data=inner.get("data"))}
    if kind == "file" and isinstance(inner, dict):
        found = _media_source(url=inner.get("file_data"), file_id=inner.get("file_id"))
        return {"type": "file", **found, **_file_name(inner)}
    if kind not in _MEDIA:
        return None
    inner = block.get(str(kind))  # Amazon's blocks nest everything one level deeper
    block = inner if isinstance(inner, dict) else block
    source = block.get("source")
    parts = source if isinstance(source, dict) else block
    is_id = parts.get("source_type") == "id"
    found = _media_source(
        data=_first(parts, "base64", "data", "bytes"),
        url=_first(parts, "url", "file_uri"),
        file_id=_first(parts, "file_id", *(["id"] if is_id else [])),
        text=parts.get("text"),
    )
    # The form that handlers receive has no name of a picture.
    return {"type": str(kind), **found, **({} if kind == "image" else _file_name(block))} if found else None


def _media_source(*, data: Any = None, url: Any = None, file_id: Any = None, text: Any = None) -> dict[str, Any]:
    # The media type is left out: one form keeps it, and another form guesses it from the bytes.
    if isinstance(url, str) and (found := _DATA_URL.match(url)):
        data, url = url[found.end() :], None
    if data is not None:
        return {"data": _fingerprint(data)}
    if isinstance(url, str):
        return {"url": without_signature(url)}
    if file_id is not None:
        return {"file_id": file_id}
    return {} if text is None else {"text": scrub(text)}


def _first(block: dict[str, Any], *names: str) -> Any:
    return next((block[name] for name in names if block.get(name) is not None), None)


def _file_name(block: dict[str, Any]) -> dict[str, Any]:
    extras = block.get("extras")
    name = block.get("filename") or (extras.get("filename") if isinstance(extras, dict) else None)
    return {"filename": name} if name else {}


def _fingerprint(data: Any) -> str:
    if isinstance(data, dict) and isinstance(data.get("v"), str):  # tagged JSON of bytes
        data = data["v"]
    text = data if isinstance(data, str) else repr(data)
    try:
        raw = base64.b64decode(text, validate=False)
    except (binascii.Error, ValueError):
        raw = text.encode("utf-8", "surrogatepass")
    return f"sha256:{hashlib.sha256(raw).hexdigest()}"
