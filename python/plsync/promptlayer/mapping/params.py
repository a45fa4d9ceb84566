"""Maps the provider, the model and the parameters of a call."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from plsync._common.redaction import is_credential_name
from plsync.journal.events.facts import short_model
from plsync.journal.events.params import response_format
from plsync.promptlayer.mapping.json_values import JSON, as_dict, string, text
from plsync.promptlayer.mapping.tools import unknown_tools

__all__ = ["PROVIDERS", "api_type", "model_name", "parameters", "provider_name"]

PROVIDERS: Mapping[str, str] = {
    "azure": "openai.azure",
    "azure_openai": "openai.azure",
    "google_genai": "google",
    "google_vertexai": "vertexai",
    "google_anthropic_vertex": "vertexai",
    "amazon_bedrock": "amazon.bedrock",
    "bedrock": "amazon.bedrock",
    "bedrock_converse": "amazon.bedrock",
    "anthropic_bedrock": "amazon.bedrock",
    "mistralai": "mistral",
}
"""PromptLayer's name for each ``ls_provider`` of LangChain that differs. Other names stay (``gpt4all``, ``ollama``)."""

_ELSEWHERE = frozenset(
    {"model", "model_name", "model_id", "_type", "tools", "tool_choice", "functions", "function_call"}
)
_HEADERS = re.compile(r"(^|_)headers?$", re.I)
_PASSED_ON = frozenset({"model_kwargs", "extra_body", "extra_query"})
_STANDARD = {"ls_temperature": "temperature", "ls_max_tokens": "max_tokens", "ls_stop": "stop"}
_FORMATS = frozenset({"response_format", "text", "format", "tools"})
"""Parameters in which providers receive the format of a structured answer."""
_OPENAI = frozenset({"openai", "openai.azure"})


def provider_name(provider: str | None) -> str:
    """PromptLayer's name of a provider; never empty.

    >>> provider_name("google_genai")
    'google'
    """
    name = string(provider) or "unknown"
    return PROVIDERS.get(name, name)


def model_name(model: str | None, fallback: str | None) -> str:
    """The model, else the fallback; never empty. A local file is reduced to its name: a path reveals the machine.

    >>> model_name("/home/me/models/tiny.gguf", None)
    'tiny.gguf'
    """
    name = string(model) or string(fallback) or "unknown"
    return short_model(name) or name


def parameters(params: JSON, options: JSON, metadata: JSON) -> JSON:
    """Sampling and format parameters, without names, tools, empty values and values that may be secrets.

    Args:
        params: the parameters of the call.
        options: LangChain's options. They hold the format of a structured answer that the provider did not receive.
        metadata: the metadata of the call. For text models LangChain passes overridden parameters only there.
    """
    kept = _kept(params)
    for key, name in _STANDARD.items():
        if metadata.get(key) is not None:
            kept.setdefault(name, metadata[key])
    if options.get("stop") is not None:
        kept.setdefault("stop", options["stop"])
    output_format = options.get("ls_structured_output_format")
    if output_format is not None and not _FORMATS & params.keys():
        kept["response_format"] = response_format(as_dict(as_dict(output_format).get("schema")))
    unknown = unknown_tools(params) if "tools" in params else []
    return {**kept, "tools": unknown} if unknown else kept


def api_type(provider: str, kind: str, params: JSON, answers: list[Any]) -> str | None:
    """The OpenAI interface that answered, ``responses`` or ``chat-completions``; None for other providers."""
    if provider not in _OPENAI or kind != "chat":
        return None
    metadata = as_dict(as_dict(answers[0] if answers else None).get("response_metadata"))
    responses = params.get("use_responses_api") or text(metadata.get("id")).startswith("resp_")
    return "responses" if responses else "chat-completions"


def _kept(params: JSON) -> JSON:
    kept: JSON = {}
    for key, value in params.items():
        if value is None or key in _ELSEWHERE or is_credential_name(key) or _HEADERS.search(key):
            continue
        # Deeper dicts stay: in a schema, a name like "password" is the name of a field.
        kept[key] = _kept(value) if key in _PASSED_ON and isinstance(value, dict) else value
    return kept
