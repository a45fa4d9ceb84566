"""What is kept out of a recording: keys, credentials in headers and links, and what the user's hook takes out."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from plsync._common.redaction import REDACTED, names_a_secret, without_credentials, without_secrets

__all__ = ["Redact", "hide", "safe_answer", "secrets_of", "shown_headers"]

Redact = Callable[[dict[str, Any]], "dict[str, Any] | None"]
"""Called with what was asked and with what came back; returns what may be kept, or ``None`` to keep nothing."""

# Shorter ones stand for a key where none is needed, and are words that may be said.
_SHORTEST: Final = 12
# Whose account it is; no key, and nobody else's business.
_ACCOUNT: Final = re.compile(r"organi[sz]ation|project|account|set-cookie|forwarded|client-ip|cf-ray", re.IGNORECASE)
_METADATA: Final = frozenset({"generation_info", "llm_output", "response_metadata"})
_PASSWORD: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^\s/:@]*:([^\s/@]+)@", re.IGNORECASE)


def secrets_of(model: Any) -> tuple[str, ...]:
    """The keys and passwords a model was made with: they may turn up in an error or an answer, and must not be kept."""
    found: set[str] = set()
    _collect(vars(model), found, depth=0)
    return tuple(sorted((secret for secret in found if len(secret) >= _SHORTEST), key=len, reverse=True))


def _collect(values: Mapping[Any, Any], found: set[str], depth: int) -> None:
    for name, value in values.items():
        kind = type(value)
        if kind.__name__ == "SecretStr" and kind.__module__.startswith("pydantic"):
            found.add(str(value.get_secret_value()))
        elif isinstance(value, str):
            if names_a_secret(name):
                # A header has its scheme in front: the key may turn up without it.
                found.update((value, value.rpartition(" ")[2]))
            elif "://" in value and "@" in value:
                found.update(_PASSWORD.findall(value))
        elif kind is dict and depth < 2:
            _collect(value, found, depth + 1)


def hide(value: Any, secrets: Sequence[str]) -> Any:
    """JSON in which none of the secrets occurs; the value itself when none did."""
    if not secrets:
        return value
    text = written = orjson.dumps(value)
    for secret in secrets:
        text = text.replace(orjson.dumps(secret)[1:-1], REDACTED.encode())
    return value if text == written else orjson.loads(text)


def safe_answer(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer whose headers and links hold no credentials.

    Only what stands beside the content is looked at: what was said stays as it was said.
    """
    return {key: _beside(item) if key == "error" else _said(item) for key, item in answer.items()}


def _said(value: Any) -> Any:
    if isinstance(value, list):
        return [_said(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {key: _beside(item) if key in _METADATA else _said(item) for key, item in value.items()}


def _beside(value: Any) -> Any:
    if isinstance(value, str):
        return without_credentials(value)
    if isinstance(value, list):
        return [_beside(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: shown_headers(item) if isinstance(item, dict) and key.lower().endswith("headers") else _beside(item)
        for key, item in value.items()
    }


def shown_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers of a response, without credentials and without whose account it was."""
    kept = {name: value for name, value in dict(headers).items() if not _ACCOUNT.search(name)}
    return {name: _beside(value) for name, value in without_secrets(kept).items()}
