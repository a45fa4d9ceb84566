"""Maps content blocks of LangChain and of providers to blueprint content."""

from __future__ import annotations

from typing import Any

from plsync.promptlayer.mapping.content import anthropic, bedrock, google, media, openai, standard
from plsync.promptlayer.mapping.content.blocks import Block, Converter, plain_text, unwrapped
from plsync.promptlayer.mapping.content.server_tools import with_results
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
    """Map the content of a message, or the text of a prompt, to blueprint blocks.

    A block of an unknown kind becomes text with its JSON. Empty content becomes ``[]``.

    Args:
        content: a text, a block, or a list of texts and blocks.
        output: whether the model made it, so that media is output media.

    >>> contents("hi")
    [{'type': 'text', 'text': 'hi'}]
    >>> contents("")
    []
    """
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    blocks: list[Block] = []
    for item in with_results([unwrapped(part) for part in content]) if isinstance(content, list) else [content]:
        blocks += _blocks(unwrapped(item), output)
    return blocks


def _blocks(item: Any, output: bool) -> list[Block]:
    if isinstance(item, str):
        return plain_text(item)
    if not isinstance(item, dict):
        return [] if item is None else plain_text(json_text(item))
    kind = item.get("type")
    if kind is None:
        converted = bedrock.untyped(item, output)
    else:
        converter = _CONVERTERS.get(kind) if isinstance(kind, str) else None
        converted = None if converter is None else converter(item, output)
    if converted is not None:
        return converted
    # A stream numbers its blocks.
    return plain_text(json_text({key: value for key, value in item.items() if key != "index"}))
