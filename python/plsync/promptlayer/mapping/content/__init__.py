"""LangChain content blocks, of its own and of providers' kinds, as blueprint content."""

from __future__ import annotations

from typing import Any

from plsync.promptlayer.mapping.content import anthropic, bedrock, google, media, openai, standard
from plsync.promptlayer.mapping.content.blocks import Block, Converter, plain_text
from plsync.promptlayer.mapping.json_values import json_text

__all__ = ["Block", "contents"]

_CONVERTERS: dict[str, Converter] = {
    **media.CONVERTERS,
    **openai.CONVERTERS,
    **anthropic.CONVERTERS,
    **google.CONVERTERS,
    **bedrock.CONVERTERS,
    **standard.CONVERTERS,
}


def contents(content: Any, *, output: bool = False) -> list[Block]:
    """The content of a message, or a prompt's text, as a list of blueprint blocks; ``[]`` when it says nothing.

    A block of an unknown kind becomes its JSON as text. ``output``: the model made it, so media is output media.

    >>> contents("hi")
    [{'type': 'text', 'text': 'hi'}]
    >>> contents("")
    []
    """
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    blocks: list[Block] = []
    for item in content if isinstance(content, list) else [content]:
        blocks += _blocks(item, output)
    return blocks


def _blocks(item: Any, output: bool) -> list[Block]:
    if isinstance(item, str):
        return plain_text(item)
    if not isinstance(item, dict):
        return [] if item is None else plain_text(json_text(item))
    kind = item.get("type")
    if kind == "non_standard" and isinstance(item.get("value"), dict):
        # What LangChain does not know of a provider's blocks, we may.
        return _blocks(item["value"], output)
    if kind is None:
        made = bedrock.untyped(item, output)
    else:
        converter = _CONVERTERS.get(kind) if isinstance(kind, str) else None
        made = None if converter is None else converter(item, output)
    return plain_text(json_text(item)) if made is None else made
