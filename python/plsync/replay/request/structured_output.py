"""Structured output requested from a model that has a recording and no live model.

Each provider requests structured output in another form, and only the recorded form matches. So the schema travels
unchanged in one keyword argument, and the lookup tries every form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["SCHEMA_OPTION", "variants"]

SCHEMA_OPTION: Final = "plsync_structured_output"
"""The keyword argument that holds the schema: a class or a JSON schema."""


def variants(options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The keyword arguments of a call, once for each form in which a provider may request the schema.

    Args:
        options: the keyword arguments of a call. Without ``SCHEMA_OPTION`` they are the only variant.
    """
    others = {key: value for key, value in options.items() if key != SCHEMA_OPTION}
    if SCHEMA_OPTION not in options:
        yield others
        return
    from langchain_core.utils.function_calling import convert_to_openai_function  # noqa: PLC0415 - heavy

    function = convert_to_openai_function(options[SCHEMA_OPTION])
    for choice in (function["name"], "any", None):
        yield {**others, "tools": [function], "tool_choice": choice}
    schema = {"schema": function.get("parameters", {}), "description": function.get("description")}
    for form in ({**schema, "name": function["name"]}, {**schema, "description": None}, schema, "json"):
        yield {**others, "response_format": form}
    yield others
