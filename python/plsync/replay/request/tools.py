"""The canonical form of tools, tool choice and response format.

Providers spell them differently. Each spelling holds a name, a description and a JSON schema.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from plsync._common.redaction import redact_settings
from plsync.replay.request.content import scrub

__all__ = [
    "CHOICE_OPTIONS",
    "FORMAT_OPTIONS",
    "TOOL_OPTIONS",
    "canonical_choice",
    "canonical_format",
    "canonical_tools",
]

TOOL_OPTIONS: Final = ("tools", "functions")
"""The keyword arguments that hold tools; the first one that is set counts."""
CHOICE_OPTIONS: Final = ("tool_choice", "function_call", "tool_config")
"""The keyword arguments that hold a tool choice; the first one that is set counts."""
FORMAT_OPTIONS: Final = (
    "response_format",
    "format",
    "response_schema",
    "response_json_schema",
    "output_format",
    "output_config",
    "guided_json",
    "json_schema",
)
"""The keyword arguments that hold a response format; the first one that is set counts."""

_SCHEMA_KEYS: Final = ("parameters", "input_schema", "inputSchema", "schema", "args_schema")
_CREDENTIAL_KEYS: Final = frozenset({"headers", "authorization", "authorization_token"})
# Objects in a JSON schema whose keys are names of the user.
_USER_NAMED: Final = frozenset({"properties", "$defs", "definitions", "patternProperties", "dependentSchemas"})


def canonical_tools(tools: Any) -> list[Any]:
    """Each tool as ``{"name", "description", "parameters"}``. A provider's built-in tool keeps its own form."""
    return [_tool(tool) for tool in _each(tools)]


def _each(tools: Any) -> Iterator[Any]:
    for tool in tools if isinstance(tools, list) else [tools]:
        declared = tool.get("function_declarations") or tool.get("functionDeclarations") if _is_dict(tool) else None
        if isinstance(declared, list):
            yield from declared
        else:
            yield tool


def _tool(tool: Any) -> Any:
    if not _is_dict(tool):
        return scrub(tool)
    # An MCP server comes with its credentials. They change from run to run, and a recording must not hold them.
    tool = redact_settings({key: value for key, value in tool.items() if key not in _CREDENTIAL_KEYS})
    inner = next((tool[key] for key in ("function", "toolSpec", "custom") if _is_dict(tool.get(key))), tool)
    name = inner.get("name")
    schema = next((inner[key] for key in _SCHEMA_KEYS if key in inner), None)
    if not isinstance(name, str) or (schema is None and inner is tool and tool.get("type") not in (None, "function")):
        return scrub(tool)
    if isinstance(schema, dict) and schema.keys() == {"json"}:
        schema = schema["json"]
    found = {"name": name, "description": scrub(inner.get("description") or ""), "parameters": _schema(schema)}
    return {key: value for key, value in found.items() if value}


def canonical_choice(choice: Any) -> Any:
    """``None`` (the model decides), ``"any"``, ``"none"``, or the ``{"name": ...}`` of a tool."""
    if _is_dict(choice):
        inner = next((choice[key] for key in ("function", "tool") if _is_dict(choice.get(key))), choice)
        if isinstance(inner.get("name"), str):
            return {"name": inner["name"]}
        choice = inner.get("type") if isinstance(inner.get("type"), str) else next(iter(inner), None)
    if choice is None or choice is False or choice == "auto":
        return None
    if choice is True or choice in ("any", "required"):
        return "any"
    return "none" if choice == "none" else {"name": choice} if isinstance(choice, str) else scrub(choice)


def canonical_format(form: Any) -> Any:
    """``None`` (text), ``"json"``, or ``{"name", "description", "schema"}``."""
    if form in (None, "text", ""):
        return None
    if form in ("json", "json_object"):
        return "json"
    if not _is_dict(form):
        return scrub(form)
    if (kind := form.get("type")) in ("text", "json_object"):
        return None if kind == "text" else "json"
    if _is_dict(form.get("format")):
        return canonical_format(form["format"])
    inner = form["json_schema"] if _is_dict(form.get("json_schema")) else form
    schema = next((inner[key] for key in ("schema", "parameters") if _is_dict(inner.get(key))), inner)
    name = inner.get("name") or schema.get("title")
    # Some providers move the description of a class out of its schema.
    description = inner.get("description") or schema.get("description")
    bare = {key: value for key, value in schema.items() if key != "description"}
    found = {"name": name, "description": scrub(description), "schema": _schema(bare)}
    return {key: value for key, value in found.items() if value or key == "schema"}


def _schema(schema: Any) -> Any:
    """A JSON schema without pydantic's generated titles and without the keys that only make it strict."""
    if isinstance(schema, list):
        return [_schema(item) for item in schema]
    if not _is_dict(schema):
        return scrub(schema)
    kept = {}
    for key, value in schema.items():
        if (key == "title" and isinstance(value, str)) or key in {"strict", "$schema"}:
            continue
        if key == "additionalProperties" and value is False:
            continue
        user_named = key in _USER_NAMED and _is_dict(value)
        kept[key] = {name: _schema(item) for name, item in value.items()} if user_named else _schema(value)
    return kept


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)
