"""Fills in the variables of a prompt template, and turns it into the arguments of a provider's client."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from plsync.testing.state.storage import JSON

__all__ = ["llm_kwargs", "render"]

_VARIABLE = {
    "f-string": re.compile(r"(?<!\{)\{(\w+)\}(?!\})"),
    "jinja2": re.compile(r"\{\{\s*(\w+)\s*\}\}"),
}
_FILLED = frozenset({"messages", "content", "text"})


def render(template: JSON, variables: Mapping[str, str]) -> JSON:
    """Fill in the variables in all text of a template. A variable without a value stays.

    >>> render({"type": "completion", "content": [{"type": "text", "text": "Hi {name}"}]}, {"name": "Bo"})["content"]
    [{'type': 'text', 'text': 'Hi Bo'}]
    """

    def fill(part: Any, pattern: re.Pattern[str]) -> Any:
        if isinstance(part, str):
            return pattern.sub(lambda match: str(variables.get(match[1], match[0])), part)
        if isinstance(part, list):
            return [fill(item, pattern) for item in part]
        if isinstance(part, dict):
            nested = _VARIABLE.get(part.get("template_format", ""), pattern)
            return {key: fill(value, nested) if key in _FILLED else value for key, value in part.items()}
        return part

    rendered: JSON = fill(template, _VARIABLE["f-string"])
    return rendered


def llm_kwargs(template: JSON, metadata: JSON, provider: str | None = None) -> JSON | None:
    """The arguments of OpenAI's or Anthropic's client for this template: model, parameters and text.

    Images, tools and other content are left out. None for another provider, and for a template without a model.
    """
    model = metadata.get("model")
    if not isinstance(model, dict) or not model.get("name"):
        return None
    settings = {"model": model["name"], **(model.get("parameters") or {})}
    provider = provider or model.get("provider")
    if provider not in {"openai", "anthropic"}:
        return None
    if template["type"] == "completion":
        return {**settings, "prompt": _text(template["content"])}
    messages = [{"role": message["role"], "content": _text(message.get("content"))} for message in template["messages"]]
    if provider == "openai":
        return {**settings, "messages": messages}
    system = "\n".join(message["content"] for message in messages if message["role"] in {"system", "developer"})
    rest = [message for message in messages if message["role"] in {"user", "assistant"}]
    return {"max_tokens": 1024, **settings, "messages": rest, **({"system": system} if system else {})}


def _text(content: list[JSON] | None) -> str:
    return "".join(block["text"] for block in content or [] if block.get("type") == "text")
