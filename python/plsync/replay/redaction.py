"""Removes keys, passwords and credentials from a recording, and applies the user's ``redact`` hook."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from plsync._common.redaction import REDACTED, Redact, is_credential_name, redact_settings, redact_text

__all__ = ["Redact", "redact_headers", "redact_response", "redact_values", "secrets_in_model"]

# A shorter value is a placeholder for servers without a key, and may be an ordinary word.
_SHORTEST: Final = 12
# Headers that name the account. They are no credentials, but they do not belong into a committed file.
_ACCOUNT_HEADERS: Final = re.compile(
    r"organi[sz]ation|project|account|set-cookie|forwarded|client-ip|cf-ray", re.IGNORECASE
)
_METADATA: Final = frozenset({"generation_info", "llm_output", "response_metadata"})
_PASSWORD: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/:@]*:([^\s/@]+)@", re.IGNORECASE)


def secrets_in_model(model: Any) -> tuple[str, ...]:
    """The keys and passwords in a model's fields, longest first: an error or a response may repeat them."""
    found: set[str] = set()
    _collect(vars(model), found, depth=0)
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
                found.update(_PASSWORD.findall(value))
        elif kind is dict and depth < 2:
            _collect(value, found, depth + 1)


def redact_values(value: Any, secrets: Sequence[str]) -> Any:
    """JSON in which every secret is replaced; ``value`` itself if no secret occurs in it."""
    if not secrets:
        return value
    text = original = orjson.dumps(value)
    for secret in secrets:
        text = text.replace(orjson.dumps(secret)[1:-1], REDACTED.encode())
    return value if text == original else orjson.loads(text)


def redact_response(response: dict[str, Any]) -> dict[str, Any]:
    """A response whose metadata and error hold no credentials in headers and URLs.

    The content stays unchanged: a model may talk about URLs.
    """
    return {key: _redact_urls(item) if key == "error" else _redact_metadata(item) for key, item in response.items()}


def _redact_metadata(value: Any) -> Any:
    if isinstance(value, list):
        return [_redact_metadata(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _redact_urls(item) if key in _METADATA else _redact_metadata(item) for key, item in value.items()}


def _redact_urls(value: Any) -> Any:
    if isinstance(value, str):
        return redact_text(value)
    if isinstance(value, list):
        return [_redact_urls(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: redact_headers(item) if isinstance(item, dict) and key.lower().endswith("headers") else _redact_urls(item)
        for key, item in value.items()
    }


def redact_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers of an HTTP response, without credentials and without headers that name the account."""
    kept = {name: value for name, value in dict(headers).items() if not _ACCOUNT_HEADERS.search(name)}
    return {name: _redact_urls(value) for name, value in redact_settings(kept).items()}
