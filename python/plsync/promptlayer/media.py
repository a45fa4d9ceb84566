"""Images, audio, video and files: LangChain's blocks and the providers' own, as blueprint media."""

from __future__ import annotations

from typing import Any, NamedTuple

from plsync.promptlayer.safe import as_dict, string, text

TYPES = frozenset({"image", "audio", "video", "file", "document", "media", "input_audio"})

_DEFAULT_MIME = {
    "image": "image/jpeg",
    "audio": "audio/wav",
    "video": "video/mp4",
}


class Source(NamedTuple):
    """Where the bytes are: a URL, or base64 text."""

    mime: str
    url: str | None
    base64: str | None


def block(item: dict[str, Any], *, output: bool) -> dict[str, Any] | None:
    """A blueprint block, or None when the block does not say where its bytes are.

    A file that only the provider has (``file_id``) becomes a text that says so.

    >>> block({"type": "image", "url": "https://example.com/cat.png"}, output=False)
    {'type': 'image_url', 'image_url': {'url': 'https://example.com/cat.png'}}
    """
    kind = "audio" if item["type"] == "input_audio" else item["type"]
    source = _source(item, kind)
    if source is None:
        file_id = string(item.get("file_id")) or string(as_dict(item.get("file")).get("file_id"))
        return None if file_id is None else {"type": "text", "text": f"[{kind} {file_id}]"}
    if output and kind in _DEFAULT_MIME:
        url = source.url or f"data:{source.mime};base64,{source.base64}"
        return {"type": "output_media", "url": url, "mime_type": source.mime, "media_type": kind}
    if kind == "image" and source.url is not None:
        return {"type": "image_url", "image_url": {"url": source.url}}
    media = {
        "title": _title(item) or kind,
        "type": source.mime,
        "url": source.url or source.base64,
        "format": "url" if source.url is not None else "base64",
    }
    return {"type": "media", "media": media}


def _source(item: dict[str, Any], kind: str) -> Source | None:
    """LangChain's v1 and v0 blocks, then Anthropic's ``source``, OpenAI's ``file`` and ``input_audio``."""
    nested = as_dict(item.get("source") or item.get("file") or item.get("input_audio"))
    mime = _first(item.get("mime_type"), nested.get("media_type"), _audio_mime(nested.get("format")))
    mime = mime or _DEFAULT_MIME.get(kind, "application/octet-stream")
    url = _first(item.get("url"), nested.get("url"))
    data = _first(item.get("base64"), item.get("data"), nested.get("data"), nested.get("file_data"))
    if url is None and data is not None and data.startswith(("data:", "http://", "https://")):
        url, data = data, None
    if url is None and data is None:
        return None
    return Source(mime, url, data if url is None else None)


def _title(item: dict[str, Any]) -> str | None:
    extras, nested = as_dict(item.get("extras")), as_dict(item.get("file"))
    return _first(item.get("title"), item.get("filename"), extras.get("filename"), nested.get("filename"))


def _audio_mime(audio_format: Any) -> str | None:
    return f"audio/{text(audio_format)}" if string(audio_format) else None


def _first(*candidates: Any) -> str | None:
    return next((text(candidate) for candidate in candidates if isinstance(candidate, str) and candidate), None)
