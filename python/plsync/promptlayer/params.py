"""Who answered, and what was asked for besides the messages: provider, model, parameters, tools."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from plsync.derive import short_model
from plsync.privacy import names_a_secret
from plsync.promptlayer.safe import as_dict, as_list, json_text, jsonable, string, text

JSON = dict[str, Any]

PROVIDERS: Mapping[str, str] = {
    "azure": "openai.azure",
    "azure_openai": "openai.azure",
    "google_genai": "google",
    "google_vertexai": "vertexai",
    "amazon_bedrock": "amazon.bedrock",
    "bedrock": "amazon.bedrock",
    "mistralai": "mistral",
}
"""LangChain's ``ls_provider`` where PromptLayer's name differs; any other goes as it is (``gpt4all``, ``ollama``)."""

_ELSEWHERE = frozenset(
    {"model", "model_name", "model_id", "_type", "tools", "tool_choice", "functions", "function_call"}
)
_HEADERS = re.compile(r"(^|_)headers?$", re.I)
_PASSED_ON = frozenset({"model_kwargs", "extra_body", "extra_query"})

_BUILT_IN = (
    "web_search", "file_search", "code_interpreter", "image_generation", "google_maps", "url_context", "mcp",
    "bash", "shell", "apply_patch", "text_editor",
)  # fmt: skip


def provider_name(provider: str | None) -> str:
    """PromptLayer's name of a provider; never empty.

    >>> provider_name("google_genai")
    'google'
    """
    name = string(provider) or "unknown"
    return PROVIDERS.get(name, name)


def model_name(model: str | None, fallback: str | None) -> str:
    """The model, else the fallback; never empty. Of a local file its name only: a path tells of the machine.

    >>> model_name("/home/me/models/tiny.gguf", None)
    'tiny.gguf'
    """
    name = string(model) or string(fallback) or "unknown"
    return short_model(name) or name


def parameters(params: Any) -> JSON:
    """Sampling and format parameters: all but names, tools, empty values and anything that may be a secret."""
    kept: JSON = {}
    for key, value in as_dict(params).items():
        if key in _ELSEWHERE or value is None or names_a_secret(key) or _HEADERS.search(str(key)):
            continue
        # Not deeper than these: elsewhere a name like "password" may well be part of a schema.
        kept[text(key)] = parameters(value) if key in _PASSED_ON and isinstance(value, dict) else jsonable(value)
    unknown = [tool for tool in as_list(as_dict(params).get("tools")) if _tool(tool, "") is None]
    if unknown:
        kept["tools"] = jsonable(unknown)
    return kept


def tools(params: Any, provider: str) -> JSON:
    """The ``tools``, ``tool_choice``, ``functions`` and ``function_call`` of a chat prompt; only those there are."""
    given = as_dict(params)
    built: JSON = {}
    known = [tool for tool in (_tool(item, provider) for item in as_list(given.get("tools"))) if tool is not None]
    if known:
        built["tools"] = known
    if given.get("tool_choice") is not None:
        built["tool_choice"] = _tool_choice(given["tool_choice"])
    functions = [_function(as_dict(item)) for item in as_list(given.get("functions"))]
    if any(functions):
        built["functions"] = [function for function in functions if function is not None]
    call = given.get("function_call")
    if call is not None:
        name = string(as_dict(call).get("name"))
        built["function_call"] = {"name": name} if name else text(call)
    return built


def api_type(provider: str, kind: str, params: Any, output: list[Any]) -> str | None:
    """Which of OpenAI's interfaces answered; None for any other provider."""
    if provider not in {"openai", "openai.azure"} or kind != "chat":
        return None
    metadata = as_dict(as_dict(output[0] if output else None).get("response_metadata"))
    responses = as_dict(params).get("use_responses_api") or text(metadata.get("id")).startswith("resp_")
    return "responses" if responses else "chat-completions"


def _tool(item: Any, provider: str) -> JSON | None:
    """A function in OpenAI's shape, flat (its Responses API) or Anthropic's; or a tool that the provider runs."""
    tool = as_dict(item)
    kind = string(tool.get("type"))
    function = _function(as_dict(tool.get("function")))
    if function is None and kind in {None, "function", "custom"}:
        function = _function(tool)
    if function is not None:
        return {"type": "function", "function": function}
    built_in = next((name for name in _BUILT_IN if (kind or "").startswith(name)), None)
    if built_in is None:
        return None
    names = {"id": text(kind), "name": string(tool.get("name")) or text(kind), "description": "", "provider": provider}
    return {**names, "type": built_in, "config": jsonable(tool)}


def _function(item: JSON) -> JSON | None:
    name = string(item.get("name"))
    if name is None:
        return None
    schema = item.get("parameters") or item.get("input_schema")
    function: JSON = {"name": name, "description": text(item.get("description"))}
    function["parameters"] = jsonable(schema) if isinstance(schema, dict) else {"type": "object", "properties": {}}
    return {**function, "strict": True} if item.get("strict") is True else function


def _tool_choice(choice: Any) -> str | JSON:
    if isinstance(choice, dict):
        name = string(as_dict(choice.get("function")).get("name")) or string(choice.get("name"))
        if name is not None:
            return {"type": "function", "function": {"name": name}}
        return string(choice.get("type")) or json_text(choice)
    return text(choice)
