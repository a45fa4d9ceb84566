"""Maps the error of a call to PromptLayer's error type."""

from __future__ import annotations

import re
from typing import Any, Final

from plsync.promptlayer.mapping.json_values import JSON, text

__all__ = ["error_type"]

_PROVIDER_MODULES: Final = (
    *("openai", "anthropic", "google", "mistralai", "boto"),
    *("aws", "azure", "cohere", "deepseek", "fireworks", "groq", "litellm", "ollama", "openrouter", "perplexity"),
    *("together", "xai", "zhipuai"),
    # The HTTP clients below them.
    *("aiohttp", "grpc", "httpcore", "httpx", "requests", "urllib3"),
)
_RATE_LIMIT: Final = re.compile(r"throttl|too_?many_?requests|rate_?limit|resource_?exhausted", re.I)
_QUOTA: Final = re.compile(r"quota|insufficient_balance|payment_required|billing", re.I)
_TIMEOUT: Final = re.compile(r"time_?(d_?)?out|deadline_?exceeded", re.I)
_AUTH: Final = re.compile(
    r"authentication|unauthenticated|unauthorized|access_?denied|permission_?denied|unrecognized_?client"
    r"|expired_?token|invalid_?signature|invalid_?api_?key|api_?key_?invalid|no_?credentials|default_?credentials",
    re.I,
)
# botocore raises one class for most errors, and names the error in the message.
_BOTO: Final = re.compile(r"An error occurred \((\w+)\)")
# The error in a body, or in a message that repeats the body: a stream often raises the base class of its client.
_IN_BODY: Final = re.compile(r"""['"](?:type|code|status|reason)['"]: ?['"](\w+)['"]|^ResponseError\(code='(\w+)'""")
# langchain-openai raises ``ValueError("code: message")`` for the error of a stream.
_OF_RESPONSES: Final = re.compile(
    r"(rate_limit_exceeded|server_error|insufficient_quota|invalid_prompt|vector_store_timeout): "
)


def error_type(error: JSON, body: Any = None) -> str:
    """The category of an error, by the rules of PromptLayer's SDK (``track/error_tracking.py`` of 1.5.16).

    The SDK knows the names and codes of a few providers. This function knows further names of the same errors.

    Args:
        error: the error of a record.
        body: the body of the provider's response.

    >>> error_type({"type": "RateLimitError", "message": "slow down", "status_code": 429})
    'PROVIDER_RATE_LIMIT'
    """
    code, module = error.get("status_code"), text(error.get("module"))
    message = text(error.get("message"))
    in_message = _BOTO.match(message)
    name = in_message[1] if in_message else text(error.get("type"))
    # LangChain's packages subclass a provider's errors: langchain_openai.OpenAIConnectionError is one of openai's.
    of_provider = (
        module.removeprefix("langchain_").startswith(_PROVIDER_MODULES)
        or isinstance(code, int)
        or message.startswith("ResponseError(code=")
        or (name == "ValueError" and _OF_RESPONSES.match(message) is not None)
    )
    names = " ".join([name, *_codes(message, body)]) if of_provider else name
    if "RateLimitError" in name or code == 429 or (of_provider and _RATE_LIMIT.search(names)):
        return "PROVIDER_QUOTA_LIMIT" if "insufficient_quota" in message.lower() else "PROVIDER_RATE_LIMIT"
    if code == 402 or (of_provider and _QUOTA.search(names)):
        return "PROVIDER_QUOTA_LIMIT"
    if "Timeout" in name or code in (408, 504) or (of_provider and _TIMEOUT.search(names)):
        return "PROVIDER_TIMEOUT"
    if code == 401 or "AuthenticationError" in name or (of_provider and (code == 403 or _AUTH.search(names))):
        return "PROVIDER_AUTH_ERROR"
    if of_provider:
        return "PROVIDER_QUOTA_LIMIT" if "quota" in message.lower() else "PROVIDER_ERROR"
    return "UNKNOWN_ERROR"


def _codes(message: str, body: Any) -> list[str]:
    """The provider's own names of an error: its type, its code and its status."""
    found = _OF_RESPONSES.match(message)
    written = text(body)
    places = (message, written) if written else (message,)
    pairs = [pair for place in places for pair in _IN_BODY.findall(place)]
    return [*([found[1]] if found else []), *(code for pair in pairs for code in pair if code)]
