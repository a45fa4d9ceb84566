"""Reads the parameters of a call in the form in which the provider received them.

A program may pass a class in place of a JSON schema, and the client of the provider converts the class. The journal
holds the schema of the class. Journals of earlier versions hold the ``repr`` of the class, and LangChain's note of the
schema in ``options``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["params", "response_format"]

_FORMATS: Final = ("response_format", "response_schema", "format", "output_format", "text_format")
"""Parameters in which a client takes a class, or a schema."""
_NOTE: Final = "ls_structured_output_format"


def params(start: Mapping[str, Any]) -> dict[str, Any]:
    """LangChain's ``invocation_params``, with the classes among them as schemas.

    ``response_format`` has OpenAI's form, and so has each tool that was passed as a class.

    >>> person = {"title": "Person", "type": "object", "properties": {"name": {"type": "string"}}}
    >>> params({"params": {"response_format": person}})["response_format"]["json_schema"]["name"]
    'Person'
    """
    found = start.get("params")
    if not isinstance(found, dict):
        return {}
    changed: dict[str, Any] = {}
    for key in _FORMATS:
        value = found.get(key)
        if isinstance(value, str) and value.startswith("<class ") and (schema := _noted(start)) is not None:
            value = changed[key] = schema
        if key == "response_format" and isinstance(value, dict) and _is_schema(value):
            changed[key] = response_format(value)
    tools = found.get("tools")
    if isinstance(tools, list) and any(map(_is_schema, tools)):
        changed["tools"] = [_tool(tool) if _is_schema(tool) else tool for tool in tools]
    return {**found, **changed} if changed else found


def response_format(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema as OpenAI's ``response_format``."""
    title = schema.get("title")
    name = title if isinstance(title, str) and title else "answer"
    return {"type": "json_schema", "json_schema": {"name": name, "schema": schema}}


def _noted(start: Mapping[str, Any]) -> dict[str, Any] | None:
    options = start.get("options")
    note = options.get(_NOTE) if isinstance(options, dict) else None
    schema = note.get("schema") if isinstance(note, dict) else None
    return schema if isinstance(schema, dict) else None


def _is_schema(value: Any) -> bool:
    """Whether a value is a JSON schema of an object, without a provider's form around it."""
    return isinstance(value, dict) and (
        isinstance(value.get("properties"), dict) or (isinstance(value.get("$defs"), dict) and "$ref" in value)
    )


def _tool(schema: dict[str, Any]) -> dict[str, Any]:
    title, description = schema.get("title"), schema.get("description")
    rest = {key: value for key, value in schema.items() if key not in {"title", "description"}}
    function = {
        "name": title if isinstance(title, str) and title else "tool",
        "description": description if isinstance(description, str) else "",
        "parameters": rest,
    }
    return {"type": "function", "function": function}
