"""Maps the blocks of Bedrock's Converse API. They have no ``type``: their only key is their kind."""

from __future__ import annotations

from collections.abc import Mapping

from plsync.promptlayer.mapping.content import media
from plsync.promptlayer.mapping.content.blocks import Block, Converter, block_text, no_blocks, plain_text, thinking
from plsync.promptlayer.mapping.json_values import as_dict, text

__all__ = ["CONVERTERS", "untyped"]


def untyped(item: Block, output: bool) -> list[Block] | None:
    """Map a block without a ``type``. Returns None for a block that is not Bedrock's.

    >>> untyped({"text": "hi"}, False)
    [{'type': 'text', 'text': 'hi'}]
    """
    if isinstance(item.get("text"), str):
        return plain_text(item["text"])
    kind = next((key for key in ("image", "document", "video", "audio") if isinstance(item.get(key), dict)), None)
    if kind is not None:
        return media.block({**item, "type": kind}, output)
    converter = next((converter for key, converter in _UNTYPED.items() if key in item), None)
    return None if converter is None else converter(item, output)


def _reasoning(item: Block, _output: bool) -> list[Block] | None:
    found = as_dict(item.get("reasoningContent") or item.get("reasoning_content"))
    found = as_dict(found.get("reasoningText")) or found
    return thinking(text(found.get("text")), found.get("signature") or found.get("redactedContent"))


def _guard(item: Block, _output: bool) -> list[Block] | None:
    found = as_dict(item.get("guardContent") or item.get("guard_content"))
    content = found.get("text")
    return plain_text(block_text(as_dict(content).get("text") or content))


def _cited(item: Block, _output: bool) -> list[Block] | None:
    return plain_text(block_text(as_dict(item.get("citationsContent")).get("content")))


_UNTYPED: Mapping[str, Converter] = {
    "reasoningContent": _reasoning,
    "guardContent": _guard,
    "citationsContent": _cited,
    # A mark for Bedrock's prompt cache, without content.
    "cachePoint": no_blocks,
}

CONVERTERS: Mapping[str, Converter] = {
    "reasoning_content": _reasoning,
    "guard_content": _guard,
    "cachePoint": no_blocks,
}
