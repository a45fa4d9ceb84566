"""The settings that a model is made with: ``temperature``, ``seed``, ``max_tokens``, ``reasoning_effort``, ...

They are compared only if ``match`` names ``model_settings``. A program may set them on the model or on the call, with
the same effect. The settings of a live model and of its record in a journal are LangChain's invocation parameters.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any, Final

from plsync._common.large_json import loads
from plsync.journal.events.tagged import encode
from plsync.replay.request.content import scrub
from plsync.replay.request.tools import CHOICE_OPTIONS, FORMAT_OPTIONS, TOOL_OPTIONS

__all__ = ["MODEL_NAME_FIELDS", "NOT_SETTINGS", "settings_of_model", "settings_of_object", "settings_of_params"]

MODEL_NAME_FIELDS: Final = ("model", "model_name", "model_id", "model_path")
"""The fields and keyword arguments that hold a model's name; the first one that is set counts."""

# Options of LangChain and of the transport. The rest are settings of the model.
NOT_SETTINGS: Final = frozenset(
    {
        *TOOL_OPTIONS,
        *CHOICE_OPTIONS,
        *FORMAT_OPTIONS,
        *MODEL_NAME_FIELDS,
        "_type",
        "stop",
        "stream",
        "streaming",
        "ls_structured_output_format",
        "structured_output_format",
        "headers",
        "extra_headers",
        "default_headers",
        "timeout",
        "config",
    }
)
# Where and how a request is sent, and who sends it.
_TRANSPORT: Final = re.compile(
    r"(_|^)(url|uri|base|host|endpoint|proxy|proxies|timeout|retries|client|headers|key|organization|project|region|"
    r"credentials|deployment|version|verbose|threads|gpu_layers|use_mlock|use_mmap|batch_size)$"
)


def settings_of_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """The settings among the invocation parameters of a record, which are tagged JSON."""
    nested = params.get("model_kwargs")
    every = {**params, **(nested if isinstance(nested, dict) else {})}
    kept = {key: value for key, value in every.items() if _is_setting(key) and value not in (None, {}, [])}
    settings: dict[str, Any] = scrub(kept)
    return settings


def settings_of_model(kind: str, model: Any) -> dict[str, Any]:
    """The settings of a live model. A model without invocation parameters has its own fields, where they are set.

    Args:
        kind: ``chat`` for a chat model, ``llm`` for a text model.
        model: the model.
    """
    try:
        params = model._get_invocation_params() if kind == "chat" else getattr(model, "asdict", model.dict)()
        found = settings_of_params(_to_tagged(params))
    except Exception:  # the model was never initialised, or its parameters raise
        found = {}
    return found or settings_of_params(_to_tagged(_own_fields(model)))


def settings_of_object(source: Any) -> dict[str, Any]:
    """The settings of embeddings: the fields that are set. Without fields, the arguments of the constructor."""
    values = _own_fields(source, with_core=True) if hasattr(type(source), "model_fields") else _arguments(source)
    try:
        return settings_of_params(_to_tagged(values))
    except Exception:  # a value that cannot be encoded
        return {}


def _arguments(source: Any) -> dict[str, Any]:
    """The plain arguments of a constructor that it stored in attributes. Other attributes may be state."""
    try:
        names = inspect.signature(type(source).__init__).parameters
    except (TypeError, ValueError):
        return {}
    stored = {name.lstrip("_"): value for name, value in getattr(source, "__dict__", {}).items()}
    return {name: stored[name] for name in names if name in stored and _is_plain(stored[name])}


def _own_fields(model: Any, *, with_core: bool = False) -> dict[str, Any]:
    """The fields that the class of the model declares, and whose values are not the defaults.

    Args:
        model: the model.
        with_core: include the fields of LangChain's own classes, which for models are common to all models.
    """
    declared = type(model).model_fields
    bases = () if with_core else type(model).__mro__
    common = {name for base in bases if base.__module__.startswith("langchain_core.") for name in _fields(base)}
    values = {name: value for name, value in vars(model).items() if name in declared and name not in common}
    return {
        name: value
        for name, value in values.items()
        if _is_plain(value) and value != declared[name].get_default(call_default_factory=False)
    }


def _fields(cls: type) -> Mapping[str, Any]:
    fields: Mapping[str, Any] = getattr(cls, "__pydantic_fields__", {})
    return fields


def _is_plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(map(_is_plain, value.values()))
    return isinstance(value, (str, int, float, bool))


def _is_setting(name: str) -> bool:
    return name not in NOT_SETTINGS and name != "model_kwargs" and _TRANSPORT.search(name) is None


def _to_tagged(value: Any) -> Any:
    return loads(encode(value, redact=True)[0])
