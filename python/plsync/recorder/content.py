"""Removes the content of events: ``PromptLayerCallbackHandler(content=False)``.

Fixed lists decide which settings, metadata and facts of a response stay. ``python/plsync/_common/redaction.py`` removes
credentials.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, Final

__all__ = ["without_content"]

# Text settings of a model that contain nothing of a request.
_SETTINGS: Final = frozenset(
    {
        "_type",
        "backend",
        "deployment_name",
        "model",
        "model_id",
        "model_name",
        "model_path",
        "provider",
        "reasoning_effort",
        "service_tier",
        "stream",
        "streaming",
    }
)
# Metadata of LangChain and LangGraph: facts of the model, and ids that a program or a library made. A program's other
# metadata may name its customers.
_METADATA: Final = frozenset(
    {
        "checkpoint_id",
        "conversation_id",
        "langgraph_step",
        "ls_integration",
        "ls_max_tokens",
        "ls_model_name",
        "ls_model_type",
        "ls_provider",
        "ls_temperature",
        "session_id",
        "thread_id",
    }
)
_RESPONSE_FIELDS: Final = (
    "finish_reason",
    "model",
    "model_name",
    "model_provider",
    "stop_reason",
    "system_fingerprint",
)
# The words in the names of providers' counts. A name with another word may be a text of the program.
_COUNT_WORDS: Final = frozenset(
    {
        *("accepted", "amazon", "audio", "bedrock", "billed", "cache", "cached", "candidates"),
        *("characters", "completion", "content", "cost", "count", "creation", "details", "duration"),
        *("ephemeral", "eval", "generated", "groq", "hit", "image", "images", "in", "input"),
        *("invocation", "latency", "load", "lines", "meta", "metadata", "metrics", "miss", "modality"),
        *("ms", "n", "ns", "num", "output", "per", "predicted", "prediction", "prompt", "queries"),
        *("queue", "read", "reasoning", "rejected", "requests", "search", "second", "seconds"),
        *("server", "text", "thinking", "thoughts", "time", "timings", "token", "tokens", "tool"),
        *("total", "units", "usage", "use", "video", "web", "write", "x"),
    }
)
_WORD: Final = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+[a-z]*")
_LONGEST_NAME: Final = 64
_LONGEST_TEXT: Final = 200
_DEEPEST_COUNT: Final = 4
_NUMBERS: Final = (bool, int, float)


def without_content(event: dict[str, Any]) -> dict[str, Any]:
    """A copy of an event without content.

    Ids, times, tags, the model, numeric settings, the fixed metadata and the numbers of the usage stay.

    Args:
        event: a start or end event with the keys of ``docs/reference/events.md``.
    """
    bare = dict(event)
    for key in ("messages", "prompts"):
        if key in bare:
            bare[key] = []
    resumes = _resumes(bare.get("input"))
    for key in ("from_input", "input", "input_keys", "inputs", "options", "output", "outputs", "name"):
        if key in bare:
            bare[key] = None
    if resumes:
        bare["input"] = {"resume": True}
    if "params" in bare:
        bare["params"] = _settings(bare["params"])
    if "metadata" in bare:
        bare["metadata"] = _picked(bare["metadata"], _METADATA)
    if "generations" in bare:
        bare["generations"] = [_without_text(generation) for generation in bare["generations"] or []]
    if bare.get("llm_output"):
        bare["llm_output"] = _response_fields(bare["llm_output"])
    if bare.get("error"):
        bare["error"] = {**bare["error"], "message": "", "response": None}
    return bare


def _resumes(value: Any) -> bool:
    """Whether an input is LangGraph's ``Command`` with the answer of a person. LangGraph is not imported."""
    kind = type(value)
    is_command = kind.__name__ == "Command" and kind.__module__.startswith("langgraph.")
    return is_command and getattr(value, "resume", None) is not None


def _settings(values: Any) -> dict[str, Any] | None:
    """The numbers among settings, and the texts of the fixed list."""
    if not isinstance(values, Mapping):
        return None
    return {
        key: value
        for key, value in values.items()
        if isinstance(key, str) and (isinstance(value, _NUMBERS) or (isinstance(value, str) and key in _SETTINGS))
    }


def _picked(values: Any, names: Any) -> dict[str, Any]:
    """The numbers and short texts under these names."""
    if not isinstance(values, Mapping):
        return {}
    return {name: values[name] for name in names if name in values and _is_short(values[name])}


def _is_short(value: Any) -> bool:
    return isinstance(value, _NUMBERS) or (isinstance(value, str) and len(value) <= _LONGEST_TEXT)


def _response_fields(values: Any) -> dict[str, Any]:
    return _picked(values, _RESPONSE_FIELDS) | (_counts(values) or {})


def _counts(values: Any, depth: int = 0) -> dict[str, Any] | None:
    """The numbers under names of counts, as in the token usage of a response."""
    if not isinstance(values, Mapping) or depth > _DEEPEST_COUNT:
        return None
    found: dict[str, Any] = {}
    for name, value in values.items():
        if not isinstance(name, str) or not _is_count(name):
            continue
        if isinstance(value, Real):
            found[name] = int(value) if isinstance(value, Integral) else float(value)
        elif inner := _counts(value, depth + 1):
            found[name] = inner
    return found


def _is_count(name: str) -> bool:
    if len(name) > _LONGEST_NAME or not name.isascii():
        return False
    return all(word.lower() in _COUNT_WORDS or word[0].isdigit() for word in _WORD.findall(name))


def _without_text(generation: Any) -> Any:
    """A generation of the same class with its usage and without its content."""
    info = _response_fields(getattr(generation, "generation_info", None)) or None
    kept: dict[str, Any] = {"text": "", "generation_info": info}
    message = getattr(generation, "message", None)
    if message is not None:
        kept["message"] = type(message).model_construct(
            content="",
            id=message.id,
            usage_metadata=_counts(getattr(message, "usage_metadata", None)),
            response_metadata=_response_fields(message.response_metadata),
        )
    return type(generation).model_construct(**kept)
