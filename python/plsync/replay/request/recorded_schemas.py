"""The JSON schemas of classes, functions and tools in a record of a journal, or in tagged settings of a live call.

A live call passes the class itself, and LangChain makes its schema. A record has the schema beside the name of the
class, and so have the settings for a schema that LangChain does not make. An older record has only the name, and
LangChain's copy of the schema for its own tracer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from plsync.journal.events.tagged import TAG
from plsync.replay.request.tools import FORMAT_OPTIONS, TOOL_OPTIONS

__all__ = ["with_recorded_schemas"]

_TRACED: Final = ("ls_structured_output_format", "structured_output_format")
_DEFINITIONS: Final = frozenset({"$defs", "definitions"})
_MAX_DEPTH: Final = 64


def with_recorded_schemas(params: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """The invocation parameters of a record, with the schemas that LangChain makes of its classes.

    Args:
        params: the invocation parameters, as tagged JSON.
        options: the options of the call, as tagged JSON.
    """
    found = dict(params)
    for key in TOOL_OPTIONS:
        if isinstance(tools := found.get(key), list):
            found[key] = [_function(tool) or tool for tool in tools]
    for key in FORMAT_OPTIONS:
        form = found.get(key)
        if isinstance(form, dict) and form.get(TAG) in ("class", "repr"):
            found[key] = _traced(form, options) or _function(form) or form
    return found


def _traced(form: dict[str, Any], options: Mapping[str, Any]) -> dict[str, Any] | None:
    """The schema of a response format that LangChain passed to tracers."""
    traced: dict[str, Any] = next((options[key] for key in _TRACED if isinstance(options.get(key), dict)), {})
    schema, kwargs = traced.get("schema"), traced.get("kwargs")
    if not isinstance(schema, dict) or TAG in schema:
        return None
    if form[TAG] == "class" and isinstance(kwargs, dict) and kwargs.get("strict"):
        return None  # in this copy every field is required
    function = schema.get("function")
    return function if isinstance(function, dict) else schema


def _function(tagged: Any) -> dict[str, Any] | None:
    """The form of OpenAI's functions of a recorded class, function or tool."""
    value = tagged.get("v") if isinstance(tagged, dict) and tagged.get(TAG) == "class" else None
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("function"), dict):
        return value
    if not value.keys() & {"properties", "$ref"} and value.get("type") != "object":
        return None  # a type such as list[int]
    name = value.get("title") or str(tagged.get("c")).rpartition(":")[2].rpartition(".")[2]
    schema = {key: item for key, item in value.items() if key not in {"title", "description", *_DEFINITIONS}}
    definitions = {
        key: item
        for part in _DEFINITIONS
        if isinstance(item_of := value.get(part), dict)
        for key, item in item_of.items()
    }
    return {"name": name, "description": value.get("description") or "", "parameters": _inlined(schema, definitions, 0)}


def _inlined(value: Any, definitions: Mapping[str, Any], depth: int) -> Any:
    """A schema without references, like the schema that LangChain sends. A recursive schema keeps its references."""
    if isinstance(value, list):
        return [_inlined(item, definitions, depth + 1) for item in value]
    if not isinstance(value, dict) or depth > _MAX_DEPTH:
        return value
    reference = value.get("$ref")
    name = reference.rpartition("/")[2] if isinstance(reference, str) else None
    if name is not None and name in definitions:
        others = {key: item for key, item in value.items() if key != "$ref"}
        found = _inlined(definitions[name], {key: item for key, item in definitions.items() if key != name}, depth + 1)
        return {**found, **_inlined(others, definitions, depth + 1)} if isinstance(found, dict) else found
    return {key: _inlined(item, definitions, depth + 1) for key, item in value.items()}
