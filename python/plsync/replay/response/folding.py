"""The short form of a stream's chunks: a text stands for a chunk that differs from the one before only in its text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import orjson

from plsync.journal.events.tagged import TAG

__all__ = ["fold", "unfold"]

# The path to a chunk's text, by the class of the chunk.
_TEXT_PATHS: Final = {"ChatGenerationChunk": ("message", "v", "content"), "GenerationChunk": ("text",)}


def fold(chunks: Sequence[Any]) -> list[Any]:
    """The short form of packed chunks."""
    folded: list[Any] = []
    previous: bytes | None = None
    for chunk in chunks:
        text, rest = _split(chunk)
        current = None if rest is None else orjson.dumps(rest)
        folded.append(text if current is not None and current == previous else chunk)
        previous = current
    return folded


def unfold(folded: Sequence[Any]) -> list[Any]:
    """The packed chunks from the output of ``fold``."""
    chunks: list[Any] = []
    for item in folded:
        chunks.append(_with_text(chunks[-1], item) if isinstance(item, str) and chunks else item)
    return chunks


def _split(chunk: Any) -> tuple[Any, Any]:
    """The text of a chunk, and the chunk without it; ``(None, None)`` for a chunk without a text."""
    path = _TEXT_PATHS.get(chunk.get(TAG, "")) if isinstance(chunk, dict) else None
    text = chunk.get("v") if path else None
    for step in path or ():
        text = text.get(step) if isinstance(text, dict) else None
    return (text, _with_text(chunk, "")) if isinstance(text, str) else (None, None)


def _with_text(chunk: dict[str, Any], text: str) -> dict[str, Any]:
    fields = chunk["v"]
    if chunk[TAG] == "GenerationChunk":
        return {**chunk, "v": {**fields, "text": text}}
    message = fields["message"]
    return {**chunk, "v": {**fields, "message": {**message, "v": {**message["v"], "content": text}}}}
