"""Types and helpers of all converters of content blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plsync.promptlayer.mapping.json_values import as_dict, string, text

__all__ = ["Block", "Converter", "block_text", "no_blocks", "plain_text", "thinking", "unwrapped"]

Block = dict[str, Any]
Converter = Callable[[Block, bool], "list[Block] | None"]
"""Takes a block and whether a model made it. Returns blueprint blocks, or None for a block of an unexpected form."""


def unwrapped(item: Any) -> Any:
    """A block without LangChain's wrapper. LangChain wraps blocks that it does not know, and a converter may know them.

    >>> unwrapped({"type": "non_standard", "value": {"type": "custom_tool_call"}})
    {'type': 'custom_tool_call'}
    """
    while isinstance(item, dict) and item.get("type") == "non_standard" and isinstance(item.get("value"), dict):
        item = item["value"]
    return item


def plain_text(content: str) -> list[Block]:
    """A text block; no block for an empty text."""
    return [{"type": "text", "text": content}] if content else []


def no_blocks(_item: Block, _output: bool) -> list[Block] | None:
    """Convert a block without content."""
    return []


def thinking(reasoning: str, signature: Any = None) -> list[Block]:
    """A block with a model's reasoning; no block without reasoning and signature."""
    signed = string(signature)
    if not reasoning and signed is None:
        return []
    block: Block = {"type": "thinking", "thinking": reasoning}
    return [block] if signed is None else [{**block, "signature": signed}]


def block_text(content: Any) -> str:
    """The text of the blocks inside a block. A block without text becomes its JSON.

    >>> block_text([{"type": "text", "text": "a"}, "b", {"n": 1}])
    'a\\nb\\n{"n":1}'
    """
    if not isinstance(content, list):
        return text(content)
    return "\n".join(text(as_dict(item).get("text") or item) for item in content)
