"""What is kept out of a journal: credentials always, content where the user says so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from plsync._common.credentials import GONE, names_a_secret, without_credentials

__all__ = ["Redact", "hook", "without_content", "without_secrets"]

Redact = Callable[[dict[str, Any]], "dict[str, Any] | None"]

_MAX_DEPTH = 100
# JSON schemas: the names in them are those of the caller's data, and a tool may well take a password.
_SCHEMAS = frozenset({"input_schema", "json_schema", "parameters", "properties", "schema"})

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


def without_secrets(value: Any, _around: tuple[int, ...] = ()) -> Any:
    """A copy in which the values of headers and settings that are credentials by their name are replaced.

    So are those in links, and what holds itself, lies too deep or fails to be read: it could only be kept unread.
    """
    kind = type(value)  # isinstance() would ask the value, which is the program's and may do anything
    if not issubclass(kind, (Mapping, list, tuple)):
        return without_credentials(value) if kind is str else value
    if id(value) in _around or len(_around) >= _MAX_DEPTH:
        return GONE
    around = (*_around, id(value))
    try:
        if issubclass(kind, Mapping):
            return {key: _without_secret(key, item, around) for key, item in value.items()}
        if (names := getattr(kind, "_fields", None)) and len(names) == len(value):  # a named tuple
            return tuple(_without_secret(name, item, around) for name, item in zip(names, value, strict=True))
        items = [_without_pair(item, around) for item in value]
    except Exception:  # a container of the program's own: what cannot be read cannot be cleared
        return GONE
    return tuple(items) if issubclass(kind, tuple) else items


def _without_secret(key: Any, value: Any, around: tuple[int, ...]) -> Any:
    if value is None or key in _SCHEMAS:
        return value
    return GONE if names_a_secret(key) else without_secrets(value, around)


def _without_pair(item: Any, around: tuple[int, ...]) -> Any:
    """An item of a list: some clients take headers as pairs of name and value."""
    kind = type(item)
    if kind in {list, tuple} and len(item) == 2 and names_a_secret(item[0]):
        return kind((item[0], GONE))
    return without_secrets(item, around)


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
