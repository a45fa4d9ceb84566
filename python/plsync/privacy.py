"""What is kept out of a journal: credentials always, content where the user says so."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Redact", "hook", "without_content", "without_secrets"]

Redact = Callable[[dict[str, Any]], "dict[str, Any] | None"]

_SECRET = re.compile(
    r"(^|[-_])(authorization|cookie|set-cookie|credentials?|password|secret|api[-_]?key)([-_]|$)", re.I
)
_GONE = "[redacted]"

# Settings of a model that say nothing of what it was asked.
_SETTINGS = frozenset(
    {
        *("_type", "model", "model_id", "model_name", "model_path", "backend", "provider", "deployment_name"),
        *("reasoning_effort", "service_tier", "stream", "streaming"),
    }
)
_ANSWER = ("finish_reason", "model", "model_name", "model_provider", "stop_reason", "system_fingerprint", "token_usage")


def hook(redact: Redact | None, *, content: bool) -> Redact | None:
    """The one hook the recorder calls with each event: content switch first, then the user's own."""
    if content:
        return redact
    if redact is None:
        return without_content
    return lambda event: redact(without_content(event))


def without_secrets(value: Any) -> Any:
    """A copy in which the values of headers and settings that are credentials by their name are replaced."""
    if isinstance(value, Mapping):
        return {key: _GONE if _is_secret(key, item) else without_secrets(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    return value


def _is_secret(key: Any, value: Any) -> bool:
    return isinstance(key, str) and value is not None and _SECRET.search(key) is not None


def without_content(event: dict[str, Any]) -> dict[str, Any]:
    """An event without anything that was said: ids, times, model, settings that are numbers, tags and usage stay."""
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
        bare["generations"] = [_without_text(one) for one in bare["generations"] or []]
    if bare.get("llm_output"):
        bare["llm_output"] = _pick(bare["llm_output"])
    if bare.get("error"):
        bare["error"] = {**bare["error"], "message": "", "response": None}
    return bare


def _settings(values: Any, named: Callable[[str], bool]) -> dict[str, Any] | None:
    if not isinstance(values, Mapping):
        return None
    numbers = (bool, int, float)
    return {
        key: value
        for key, value in values.items()
        if isinstance(key, str) and (isinstance(value, numbers) or (isinstance(value, str) and named(key)))
    }


def _pick(values: Any) -> dict[str, Any]:
    return {key: values[key] for key in _ANSWER if key in values} if isinstance(values, Mapping) else {}


def _without_text(generation: Any) -> Any:
    """A generation of the same class with its usage, and nothing that was said."""
    kept: dict[str, Any] = {"text": "", "generation_info": _pick(getattr(generation, "generation_info", None)) or None}
    message = getattr(generation, "message", None)
    if message is not None:
        kept["message"] = type(message).model_construct(
            content="",
            id=message.id,
            usage_metadata=getattr(message, "usage_metadata", None),
            response_metadata=_pick(message.response_metadata),
        )
    return type(generation).model_construct(**kept)
