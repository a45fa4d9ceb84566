"""A prompt template with its variables filled in, and as the arguments of a provider's client."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from plsync.testing.state.keeping import JSON

__all__ = ["llm_kwargs", "render"]

_VARIABLE = {
    "f-string": re.compile(r"(?<!\{)\{(\w+)\}(?!\})"),
    "jinja2": re.compile(r"\{\{\s*(\w+)\s*\}\}"),
}
_FILLED = frozenset({"messages", "content", "text"})


def render(template: JSON, variables: Mapping[str, str]) -> JSON:
    """Fill in variables wherever the template holds text; those without a value stay as they are.

    >>> render({"type": "completion", "content": [{"type": "text", "text": "Hi {name}"}]}, {"name": "Bo"})["content"]
    [{'type': 'text', 'text': 'Hi Bo'}]
    """

    def fill(part: Any, pattern: re.Pattern[str]) -> Any:
        if isinstance(part, str):
            return pattern.sub(lambda match: str(variables.get(match[1], match[0])), part)
        if isinstance(part, list):
            return [fill(item, pattern) for item in part]
        if isinstance(part, dict):
            own = _VARIABLE.get(part.get("template_format", ""), pattern)
            return {key: fill(value, own) if key in _FILLED else value for key, value in part.items()}
        return part

    rendered: JSON = fill(template, _VARIABLE["f-string"])
    return rendered


def llm_kwargs(template: JSON, metadata: JSON, provider: str | None = None) -> JSON | None:
    """What OpenAI's or Anthropic's client takes for this template; None for another provider, or without a model.

    Text alone: what else a template may hold is left out.
    """
    model = metadata.get("model")
    if not isinstance(model, dict) or not model.get("name"):
        return None
    settings = {"model": model["name"], **(model.get("parameters") or {})}
    provider = provider or model.get("provider")
    if provider not in {"openai", "anthropic"}:
        return None
    if template["type"] == "completion":
        return {**settings, "prompt": _words(template["content"])}
    messages = [{"role": said["role"], "content": _words(said.get("content"))} for said in template["messages"]]
    if provider == "openai":
        return {**settings, "messages": messages}
    system = "\n".join(said["content"] for said in messages if said["role"] in {"system", "developer"})
    rest = [said for said in messages if said["role"] in {"user", "assistant"}]
    return {"max_tokens": 1024, **settings, "messages": rest, **({"system": system} if system else {})}


def _words(content: list[JSON] | None) -> str:
    return "".join(block["text"] for block in content or [] if block.get("type") == "text")
