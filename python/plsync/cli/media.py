"""Images, audio, video and files in the content of messages, in a few words: ``[image/png, 68 B]``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit

from plsync.cli import humanize

__all__ = ["described"]

# Providers and versions of LangChain store one fact under different names, at different depths of the block.
_MIME_KEYS: Final = ("mime_type", "media_type", "mimeType")
_DATA_KEYS: Final = ("data", "base64", "file_data", "bytes")
_URL_KEYS: Final = ("url", "image_url", "file_uri", "fileUri", "video_url", "audio_url")
_NAME_KEYS: Final = ("filename", "name", "title")
_ID_KEYS: Final = ("file_id", "fileId")
_DATA_URL: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+)?[^,]{0,100},")
_DEEPEST: Final = 3
_LONGEST_URL: Final = 80


def described(block: dict[str, Any]) -> str:
    """A block of content that is not text.

    >>> described({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}})
    '[image/png, 8 B]'
    """
    kind = str(block.get("type", "block")).removesuffix("_url").removeprefix("input_")
    facts = dict(_facts(block, 0))
    url = facts.get("url", "")
    data = facts.get("data", "")
    mime = facts.get("mime", "")
    if inline := _DATA_URL.match(url) or _DATA_URL.match(data):
        data, url, mime = inline.string[inline.end() :], "", inline[1] or mime
    elif url.startswith("data:"):
        url = ""
    elif not mime and data and "format" in facts:
        mime = f"{kind}/{facts['format']}"
    parts = [mime or kind]
    if "name" in facts:
        parts[0] += f" {facts['name']}"
    if data:
        parts.append(humanize.size(_decoded_size(data)))
    elif url:
        parts.append(_shown_url(url))
    elif "id" in facts:
        parts.append(facts["id"])
    return f"[{', '.join(parts)}]"


def _facts(value: dict[str, Any], depth: int) -> Iterator[tuple[str, str]]:
    """The facts of a block by kind. The innermost of a kind comes last, and so prevails."""
    names = {"mime": _MIME_KEYS, "data": _DATA_KEYS, "url": _URL_KEYS, "name": _NAME_KEYS, "id": _ID_KEYS}
    for kind, keys in (*names.items(), ("format", ("format",))):
        yield from ((kind, found) for key in keys if isinstance(found := value.get(key), str) and found)
    if depth < _DEEPEST:
        for inner in value.values():
            if isinstance(inner, dict):
                yield from _facts(inner, depth + 1)


def _decoded_size(data: str) -> int:
    """The number of bytes that a text in base64 stands for."""
    return len(data) * 3 // 4 - data[-2:].count("=")


def _shown_url(url: str) -> str:
    """The URL without its query, which may hold a token."""
    try:
        parts = urlsplit(url)
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else url
    except ValueError:  # brackets that hold no address
        shown = url
    return shown if len(shown) <= _LONGEST_URL else shown[: _LONGEST_URL - 1] + "…"
