"""The arguments of streamed tool calls, where LangChain's parser lost them.

LangChain completes the text of a streamed call to valid JSON: of ``{"a": 1, "b": x`` it keeps ``{"a": 1}``, and of
``{x`` an empty dict. The message keeps the text in ``tool_call_chunks``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["broken_arguments"]


def broken_arguments(message: Mapping[str, Any]) -> list[str | None]:
    """For each call in a message's ``tool_calls``: the text that the model wrote, if the text is no JSON object.

    Args:
        message: the fields of a message.

    Returns:
        A list as long as ``tool_calls``. ``None`` stands for a call whose arguments are whole.

    >>> chunk = {"name": "add", "args": "{x", "id": "c1", "index": 0}
    >>> call = {"name": "add", "args": {}, "id": "c1"}
    >>> broken_arguments({"tool_calls": [call], "tool_call_chunks": [chunk]})
    ['{x']
    """
    calls, chunks = _dicts(message.get("tool_calls")), _dicts(message.get("tool_call_chunks"))
    if not chunks:
        return [None] * len(calls)
    if len(calls) == len(chunks):
        pairs = chunks
    else:  # the other chunks belong to invalid calls
        by_id = {chunk["id"]: chunk for chunk in chunks if isinstance(chunk.get("id"), str)}
        pairs = [by_id.get(call.get("id"), {}) for call in calls]
    return [_broken(chunk.get("args")) for chunk in pairs]


def _broken(written: Any) -> str | None:
    if not isinstance(written, str) or not written:
        return None
    try:
        # As LangChain: line breaks and tabs may stand in a text.
        return None if isinstance(json.loads(written, strict=False), dict) else written
    except (ValueError, RecursionError):
        return written


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
