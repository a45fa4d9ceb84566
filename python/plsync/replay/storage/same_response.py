"""Compares two recorded responses without the values that vary whenever a model returns the same response."""

from __future__ import annotations

from typing import Any, Final

import orjson

from plsync._common.large_json import loads
from plsync.journal.events.tagged import MESSAGES, TAG

__all__ = ["same_response"]

# Ids, times and signatures of a response, in the spellings of the providers.
_VARYING: Final = frozenset(
    {
        "id",
        "call_id",
        "tool_call_id",
        "tool_use_id",
        "item_id",
        "response_id",
        "request_id",
        "x_request_id",
        "container_id",
        "created",
        "created_at",
        "completed_at",
        "system_fingerprint",
        "headers",
        "signature",
        "thought_signature",
        "encrypted_content",
        "__openai_function_call_ids__",
        "__gemini_function_call_thought_signatures__",
    }
)
_TIMES: Final = ("_duration", "_time", "timings")
# Values that the model or the program's class made: an id in them is part of the response.
_ANSWERED: Final = frozenset({"args", "input", "arguments", "partial_json", "parsed", "json", "text"})
_METADATA: Final = frozenset({"llm_output", "generation_info"})
_FIELDS: Final = (
    "content",
    "tool_calls",
    "tool_call_chunks",
    "invalid_tool_calls",
    "additional_kwargs",
    "response_metadata",
)


def same_response(old: bytes, new: bytes) -> bool:
    """Whether two lines differ only in values that always vary, so that the old line may stay.

    >>> same_response(b'{"answer": 1, "ms": [1]}', b'{"answer": 1, "ms": [2]}')
    True
    """
    try:
        one, other = loads(old), loads(new)
    except orjson.JSONDecodeError:  # the old line is damaged, and the new one repairs it
        return False
    without = {"ms": None, **({} if "place" in one else {"place": None})}  # an older plsync stored no place
    return bool(_of_line({**one, **without}) == _of_line({**other, **without}))


def _of_line(value: Any) -> Any:
    if isinstance(value, list):
        return [_of_line(item) for item in value]
    if not isinstance(value, dict):
        return value
    fields = value.get("v")
    tag = value.get(TAG)
    if isinstance(tag, str) and tag in MESSAGES and isinstance(fields, dict):
        kept = {key: item for key, item in fields.items() if key != "id"}
        value = {**value, "v": kept | {key: _without_varying(kept[key]) for key in _FIELDS if key in kept}}
    return {key: _without_varying(item) if key in _METADATA else _of_line(item) for key, item in value.items()}


def _without_varying(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_varying(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: item if key in _ANSWERED else _without_varying(item)
        for key, item in value.items()
        if key not in _VARYING and not key.endswith(_TIMES)
    }
