"""Structured output asked of a recording with no model behind it.

Each provider has its own way to ask for it, and only the recorded one is to be found. So the wish goes unworded as far
as the lookup, which tries them all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["WISH", "wordings"]

WISH: Final = "plsync_structured_output"
"""The keyword argument that holds the schema."""


def wordings(options: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The keyword arguments in each way a provider may have been asked."""
    others = {key: value for key, value in options.items() if key != WISH}
    if WISH not in options:
        yield others
        return
    from langchain_core.utils.function_calling import convert_to_openai_function  # noqa: PLC0415 - heavy

    function = convert_to_openai_function(options[WISH])
    for choice in (function["name"], "any", None):
        yield {**others, "tools": [function], "tool_choice": choice}
    schema = {"schema": function.get("parameters", {}), "description": function.get("description")}
    for form in ({**schema, "name": function["name"]}, {**schema, "description": None}, schema, "json"):
        yield {**others, "response_format": form}
    yield others
