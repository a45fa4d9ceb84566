"""What converters of content blocks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from plsync.promptlayer.mapping.json_values import as_dict, string, text

__all__ = ["Block", "Converter", "nothing", "plain_text", "thinking", "words"]

Block = dict[str, Any]
Converter = Callable[[Block, bool], "list[Block] | None"]
"""From a block, and whether a model made it, to blueprint blocks; None when the block is not of the form expected."""


def plain_text(said: str) -> list[Block]:
    """A text block, unless nothing is said."""
    return [{"type": "text", "text": said}] if said else []


def nothing(_item: Block, _output: bool) -> list[Block] | None:
    """Converts a block that says nothing."""
    return []


def thinking(reasoning: str, signature: Any = None) -> list[Block]:
    """A model's reasoning, unless there is none."""
    signed = string(signature)
    if not reasoning and signed is None:
        return []
    block: Block = {"type": "thinking", "thinking": reasoning}
    return [block] if signed is None else [{**block, "signature": signed}]


def words(content: Any) -> str:
    """The text of blocks within a block; JSON of those that have none.

    >>> words([{"type": "text", "text": "a"}, "b", {"n": 1}])
    'a\\nb\\n{"n":1}'
    """
    if not isinstance(content, list):
        return text(content)
    return "\n".join(text(as_dict(item).get("text") or item) for item in content)
