"""Images, audio, video and files in the content of messages."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from plsync.journal.display.figures import size

__all__ = ["Media", "described", "media_in"]

# Providers and versions of LangChain store one fact under different names, at different depths of the block.
_MIME_KEYS: Final = ("mime_type", "media_type", "mimeType")
_DATA_KEYS: Final = ("data", "base64", "file_data", "bytes")
_URL_KEYS: Final = ("url", "image_url", "file_uri", "fileUri", "video_url", "audio_url")
_NAME_KEYS: Final = ("filename", "name", "title")
_ID_KEYS: Final = ("file_id", "fileId")
_DATA_URL: Final = re.compile(r"data:([\w.+-]+/[\w.+-]+)?[^,]{0,100},")
_DEEPEST: Final = 3
_LONGEST_URL: Final = 80
# The first bytes of a file whose block names no type.
_STARTS: Final = {
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"%PDF-": "application/pdf",
    b"ID3": "audio/mpeg",
    b"OggS": "audio/ogg",
}
_WEBP: Final = (b"RIFF", b"WEBP")
_WAVE: Final = (b"RIFF", b"WAVE")


@dataclass(frozen=True, slots=True)
class Media:
    """A block of content that is neither text nor a tool call."""

    kind: str
    """``image``, ``audio``, ``file``, ...: the type of the block."""
    mime: str | None
    """The type that the block names."""
    name: str | None
    data: str | None
    """The bytes in base64."""
    url: str | None
    """The address of the bytes, if the block does not hold them."""
    file_id: str | None
    """The id of a file that the provider keeps."""

    @property
    def decoded_size(self) -> int:
        """The number of bytes that the block holds."""
        data = self.data or ""
        return len(data) * 3 // 4 - data[-2:].count("=")

    def content(self) -> bytes | None:
        """The bytes; None if the block holds none, or no base64."""
        if self.data is None:
            return None
        # Some clients write base64 for URLs, and some leave the padding out.
        text = self.data.translate(_STANDARD).rstrip("=")
        try:
            return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            return None

    def type_of(self, content: bytes) -> str:
        """The type of the bytes: the type that the block names, else the type that they begin like."""
        if self.mime:
            return self.mime.lower()
        for (begin, form), mime in ((_WEBP, "image/webp"), (_WAVE, "audio/wav")):
            if content.startswith(begin) and content[8:12] == form:
                return mime
        return next((mime for start, mime in _STARTS.items() if content.startswith(start)), "application/octet-stream")


_STANDARD: Final = str.maketrans({"-": "+", "_": "/", "\n": None, "\r": None, " ": None})


def media_in(block: dict[str, Any]) -> Media:
    """The facts of a block of content that is not text."""
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
    return Media(kind, mime or None, facts.get("name"), data or None, url or None, facts.get("id"))


def described(block: dict[str, Any]) -> str:
    """A block of content that is not text, in a few words.

    >>> described({"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}})
    '[image/png, 8 B]'
    """
    media = media_in(block)
    parts = [media.mime or media.kind]
    if media.name:
        parts[0] += f" {media.name}"
    if media.data:
        parts.append(size(media.decoded_size))
    elif media.url:
        parts.append(_shown_url(media.url))
    elif media.file_id:
        parts.append(media.file_id)
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


def _shown_url(url: str) -> str:
    """The URL without its query, which may hold a token."""
    try:
        parts = urlsplit(url)
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}" if parts.netloc else url
    except ValueError:  # brackets that hold no address
        shown = url
    return shown if len(shown) <= _LONGEST_URL else shown[: _LONGEST_URL - 1] + "…"
