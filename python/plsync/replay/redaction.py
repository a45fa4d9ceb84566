"""Removes keys, passwords and credentials from a recording, and applies the user's ``redact`` hook."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from plsync._common import known_secrets
from plsync._common.large_json import dumps, loads
from plsync._common.redaction import (
    REDACTED,
    Redact,
    is_credential_name,
    redact_secrets,
    redact_settings,
    redact_text,
    redact_urls,
)

__all__ = ["Redact", "redact_headers", "redact_response", "redact_values", "secrets_in_model", "without_secrets"]

# A shorter value is a placeholder for servers without a key, and may be an ordinary word.
_SHORTEST: Final = 12
# Headers that name the account. They are no credentials, but they do not belong into a committed file.
_ACCOUNT_HEADERS: Final = re.compile(
    r"organi[sz]ation|project|account|set-cookie|forwarded|client-ip|cf-ray", re.IGNORECASE
)
# Keys of a described exception that name classes.
_CLASS_NAMES: Final = frozenset({"$", "c", "class", "bases"})
_METADATA: Final = frozenset({"generation_info", "llm_output", "response_metadata"})


def secrets_in_model(model: Any) -> tuple[str, ...]:
    """The keys and passwords in a model's fields, longest first: an error or a response may repeat them."""
    found: set[str] = set()
    _collect(getattr(model, "__dict__", {}), found, depth=0)
    return tuple(sorted((secret for secret in found if len(secret) >= _SHORTEST), key=len, reverse=True))


def _collect(values: Mapping[Any, Any], found: set[str], depth: int) -> None:
    for name, value in values.items():
        kind = type(value)
        if kind.__name__ == "SecretStr" and kind.__module__.startswith("pydantic"):
            found.add(str(value.get_secret_value()))
        elif isinstance(value, str):
            if is_credential_name(name):
                # A header puts a scheme in front of its key, and an error may repeat the key alone.
                found.update((value, value.rpartition(" ")[2]))
            elif "://" in value and "@" in value:
                found.update(_passwords(value))
        elif kind is dict and depth < 2:
            _collect(value, found, depth + 1)


def _passwords(text: str) -> list[str]:
    """The passwords of the URLs in a text."""
    found = []
    for behind in text.split("://")[1:]:
        info, at, _ = re.split(r"[\s/]", behind, maxsplit=1)[0].partition("@")
        user, colon, password = info.partition(":")
        if at and colon and password and ":" not in user:
            found.append(password)
    return found


def redact_values(value: Any, secrets: Sequence[str]) -> Any:
    """JSON in which every secret is replaced; ``value`` itself if no secret occurs in it."""
    if not secrets:
        return value
    text = original = dumps(value)
    for secret in secrets:
        text = text.replace(dumps(secret)[1:-1], REDACTED.encode())
    return value if text == original else loads(text)


def without_secrets(response: dict[str, Any], secrets: Sequence[str]) -> dict[str, Any]:
    """A response in which every secret is replaced, in each spelling in which a server may repeat it."""
    text = dumps(response).decode()
    if redact_secrets(text, secrets) == text:
        return response
    redacted: dict[str, Any] = known_secrets.redact_values(response, tuple(secrets))
    return redacted


def redact_response(response: dict[str, Any]) -> dict[str, Any]:
    """A response whose error holds no credentials, and whose metadata holds none in headers and URLs.

    The content stays unchanged: a model may talk about URLs.
    """
    redacted: dict[str, Any] = _redact_metadata({key: item for key, item in response.items() if key != "error"})
    if "error" in response:
        error = _redact(response["error"], redact_text)
        redacted["error"] = _with_class_names(redact_settings(error), error)
    return {key: redacted[key] for key in response}


def _with_class_names(redacted: Any, error: Any) -> Any:
    """The redacted form of an error, with the original names of its classes."""
    if isinstance(redacted, list) and isinstance(error, list):
        return [_with_class_names(*pair) for pair in zip(redacted, error, strict=True)]
    if not isinstance(redacted, dict) or not isinstance(error, dict):
        return redacted
    return {
        key: error[key] if key in _CLASS_NAMES and key in error else _with_class_names(item, error.get(key))
        for key, item in redacted.items()
    }


def _redact_metadata(value: Any) -> Any:
    if isinstance(value, list):
        return [_redact_metadata(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _redact(item, redact_urls) if key in _METADATA else _redact_metadata(item) for key, item in value.items()
    }


def _redact(value: Any, redact: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, list):
        return [_redact(item, redact) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _redact_under(key, item, redact) for key, item in value.items()}


def _redact_under(key: str, value: Any, redact: Callable[[str], str]) -> Any:
    if key in _CLASS_NAMES:
        return value
    is_headers = isinstance(value, dict) and key.lower().endswith("headers")
    if isinstance(value, list) and key.lower().endswith("headers"):
        return redact_settings(value)  # pairs of name and value
    return redact_headers(value) if is_headers else _redact(value, redact)


def redact_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of an HTTP response, without credentials and without headers that name the account."""
    kept = {name: value for name, value in dict(headers).items() if not _ACCOUNT_HEADERS.search(name)}
    return {name: _redact(value, redact_text) for name, value in redact_settings(kept).items()}
