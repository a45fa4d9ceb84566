"""Maps blocks of images, audio, video and files, of LangChain and of providers, to blueprint media."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from plsync.promptlayer.mapping.content.blocks import Block, Converter, block_text, plain_text
from plsync.promptlayer.mapping.json_values import as_dict, first_string, string

__all__ = ["CONVERTERS", "block", "data_url"]

_KINDS = {
    "image": "image",
    "input_image": "image",
    "audio": "audio",
    "audio_url": "audio",
    "input_audio": "audio",
    "video": "video",
    "video_url": "video",
    "file": "file",
    "input_file": "file",
    "file_data": "file",
    "document": "document",
    "media": "media",
}
_NESTED = (
    "source",
    "file",
    "input_audio",
    "media",
    "image",
    "document",
    "video",
    "audio",
    "image_url",
    "audio_url",
    "video_url",
)
_DEFAULT_MIME = {"image": "image/jpeg", "audio": "audio/wav", "video": "video/mp4"}
_STARTS = {
    "iVBORw0KGgo": "image/png",
    "/9j/": "image/jpeg",
    "R0lGOD": "image/gif",
    "UklGR": "image/webp",
    "JVBERi0": "application/pdf",
}
"""The first characters of a file in base64, where a block names no type. OpenAI's images lack one."""
_OUTPUT = frozenset({"image", "audio", "video"})


class _Source(NamedTuple):
    """The bytes of a block: a URL, or base64 text."""

    mime: str
    url: str | None
    base64: str | None


def block(item: Block, output: bool) -> list[Block] | None:
    """Map a block of media. Returns None for a block that has no URL, no bytes, no text and no file id.

    A file that only the provider has (``file_id``) becomes a text with its id.

    >>> block({"type": "image", "url": "https://example.com/cat.png"}, False)
    [{'type': 'image_url', 'image_url': {'url': 'https://example.com/cat.png'}}]
    """
    nested = _nested(item)
    document = _document_text(item, nested)
    if document is not None:
        return plain_text(document)
    kind = _KINDS[item["type"]]
    source = _source(item, nested, kind)
    if source is None:
        return _placeholder(item, nested, kind)
    family = source.mime.partition("/")[0] if kind == "media" else kind
    if output and family in _OUTPUT:
        url = source.url or data_url(source.mime, source.base64 or "")
        return [{"type": "output_media", "url": url, "mime_type": source.mime, "media_type": family}]
    if family == "image" and source.url is not None:
        return [{"type": "image_url", "image_url": _with_detail(source.url, item, nested)}]
    media = {
        "title": _title(item, nested) or kind,
        "type": source.mime,
        "url": source.url or source.base64,
        "format": "url" if source.url is not None else "base64",
    }
    return [{"type": "media", "media": media}]


def data_url(mime: str, base64: str) -> str:
    """A ``data:`` URL with base64 text."""
    return f"data:{mime};base64,{base64}"


def _image_url(item: Block, output: bool) -> list[Block] | None:
    """OpenAI's ``image_url``, which Google's models return as well."""
    source = item.get("image_url")
    url = string(source) or string(as_dict(source).get("url"))
    if url is None:
        return None
    if not output:
        return [{"type": "image_url", "image_url": _with_detail(url, item, as_dict(source))}]
    mime = url[5:].partition(";")[0] if url.startswith("data:") else "image/png"
    return [{"type": "output_media", "url": url, "mime_type": mime or "image/png", "media_type": "image"}]


def _nested(item: Block) -> Block:
    """The inner dict of a block: Anthropic's ``source``, OpenAI's ``file``, Bedrock's ``image``, ..."""
    found: Block = next((item[key] for key in _NESTED if isinstance(item.get(key), dict)), {})
    inner = found.get("source")
    return {**found, **inner} if isinstance(inner, dict) else found


def _document_text(item: Block, nested: Block) -> str | None:
    """The text of a document that has text in place of bytes."""
    if item.get("source_type") == "text" or nested.get("type") == "text":
        return first_string(item.get("text"), item.get("data"), nested.get("data"), nested.get("text"))
    if nested.get("type") == "content" or (isinstance(nested.get("text"), str) and "bytes" not in nested):
        return block_text(nested.get("content") or nested.get("text")) or None
    return None


def _source(item: Block, nested: Block, kind: str) -> _Source | None:
    mime = first_string(
        item.get("mime_type"), nested.get("media_type"), nested.get("mime_type"), _mime_of(nested, kind)
    )
    urls = (item.get("url"), item.get("file_url"), item.get("file_uri"), nested.get("url"), nested.get("file_uri"))
    url = first_string(*urls, *(item.get(key) for key in ("image_url", "audio_url", "video_url")), _s3(nested))
    data = first_string(
        *(item.get(key) for key in ("base64", "data", "file_data")),
        *(nested.get(key) for key in ("data", "file_data", "bytes")),
    )
    if url is None and data is not None and data.startswith(("data:", "http://", "https://")):
        url, data = data, None
    if url is None and data is None:
        return None
    if url is not None:
        data = None
    if mime is None and data is not None:
        mime = next((mime for start, mime in _STARTS.items() if data.startswith(start)), None)
    return _Source(mime or _DEFAULT_MIME.get(kind, "application/octet-stream"), url, data)


def _placeholder(item: Block, nested: Block, kind: str) -> list[Block] | None:
    own = item.get("id") if item.get("source_type") == "id" else None
    file_id = first_string(item.get("file_id"), nested.get("file_id"), own)
    return None if file_id is None else plain_text(f"[{kind} {file_id}]")


def _with_detail(url: str, item: Block, nested: Block) -> Block:
    detail = first_string(nested.get("detail"), item.get("detail"), as_dict(item.get("extras")).get("detail"))
    return {"url": url} if detail is None else {"url": url, "detail": detail}


def _title(item: Block, nested: Block) -> str | None:
    extras = as_dict(item.get("extras"))
    own = (item.get("title"), item.get("filename"), extras.get("filename"), extras.get("title"))
    return first_string(*own, nested.get("filename"), nested.get("title"), nested.get("name"))


def _mime_of(nested: Block, kind: str) -> str | None:
    """The MIME type of a nested dict. OpenAI and Bedrock have a format there: ``mp3``, ``png`` or ``pdf``."""
    ending = string(nested.get("format"))
    if ending in {None, "url", "base64", "neither"}:
        return first_string(nested.get("type")) if "/" in str(nested.get("type")) else None
    return f"{kind if kind in _OUTPUT else 'application'}/{ending}"


def _s3(nested: Block) -> Any:
    return as_dict(nested.get("s3Location")).get("uri")


CONVERTERS: Mapping[str, Converter] = {**dict.fromkeys(_KINDS, block), "image_url": _image_url}
