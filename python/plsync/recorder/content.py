"""Removes the content of events: ``PromptLayerCallbackHandler(content=False)``.

``python/plsync/_common/redaction.py`` removes credentials.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
_RESPONSE_FIELDS: Final = (
    "finish_reason",
    "model",
    "model_name",
    "model_provider",
    "stop_reason",
    "system_fingerprint",
    "token_usage",
)


def without_content(event: dict[str, Any]) -> dict[str, Any]:
    """A copy of an event without content. Ids, times, model, numeric settings, tags and usage stay.

    Args:
        event: a start or end event with the keys of ``docs/reference/events.md``.
    """
    bare = dict(event)
    for key in ("messages", "prompts"):
        if key in bare:
            bare[key] = []
    for key in ("inputs", "outputs", "options"):
        if key in bare:
            bare[key] = None
    if "params" in bare:
        bare["params"] = _settings(bare["params"], lambda key: key in _SETTINGS)
    if "metadata" in bare:
        bare["metadata"] = _settings(bare["metadata"], lambda key: key.startswith("ls_"))
    if "generations" in bare:
        bare["generations"] = [_without_text(generation) for generation in bare["generations"] or []]
    if bare.get("llm_output"):
        bare["llm_output"] = _response_fields(bare["llm_output"])
    if bare.get("error"):
        bare["error"] = {**bare["error"], "message": "", "response": None}
    return bare


def _settings(values: Any, keeps_text: Callable[[str], bool]) -> dict[str, Any] | None:
    if not isinstance(values, Mapping):
        return None
    numbers = (bool, int, float)
    return {
        key: value
        for key, value in values.items()
        if isinstance(key, str) and (isinstance(value, numbers) or (isinstance(value, str) and keeps_text(key)))
    }


def _response_fields(values: Any) -> dict[str, Any]:
    return {key: values[key] for key in _RESPONSE_FIELDS if key in values} if isinstance(values, Mapping) else {}


def _without_text(generation: Any) -> Any:
    """A generation of the same class with its usage and without its content."""
    info = _response_fields(getattr(generation, "generation_info", None)) or None
    kept: dict[str, Any] = {"text": "", "generation_info": info}
    message = getattr(generation, "message", None)
    if message is not None:
        kept["message"] = type(message).model_construct(
            content="",
            id=message.id,
            usage_metadata=getattr(message, "usage_metadata", None),
            response_metadata=_response_fields(message.response_metadata),
        )
    return type(generation).model_construct(**kept)
