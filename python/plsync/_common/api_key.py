"""PromptLayer's API key: read from the environment, and removed from texts that are stored or logged."""

from __future__ import annotations

import functools
import os
import re
from typing import TYPE_CHECKING, Final

from plsync._common.redaction import REDACTED

if TYPE_CHECKING:
    from plsync._common.spellings import SecretRedactor

__all__ = ["KEY_VARIABLE", "api_key", "redact_api_keys"]

KEY_VARIABLE: Final = "PROMPTLAYER_API_KEY"

# Characters at each end of a text that are searched for the key in any spelling: a microsecond each.
_SEARCHED: Final = 32 << 10

_API_KEYS: Final = r"(?<=://)[^/\s@]+@|\bpl_[A-Za-z0-9]{16,}"


def api_key() -> str | None:
    """The value of ``PROMPTLAYER_API_KEY`` without surrounding space; None when it is unset or empty."""
    return os.environ.get(KEY_VARIABLE, "").strip() or None


def redact_api_keys(text: str) -> str:
    """The text with PromptLayer's API keys, and the user names and passwords in URLs, replaced.

    The key of the environment is found in any spelling, and in parts of eight characters or more.

    >>> redact_api_keys("pl_0123456789abcdef0123 was refused")
    '[redacted] was refused'
    """
    if key := api_key():
        text = _without_key(text, key)
    return re.sub(_API_KEYS, REDACTED, text)


def _without_key(text: str, key: str) -> str:
    redact = _redactor(key)
    if len(text) <= 2 * _SEARCHED:
        return redact(text)
    # Logs and records keep only the beginning or the end of a long text.
    middle = text[_SEARCHED:-_SEARCHED].replace(key, REDACTED)
    return redact(text[:_SEARCHED]) + middle + redact(text[-_SEARCHED:])


@functools.lru_cache(maxsize=4)
def _redactor(key: str) -> SecretRedactor:
    from plsync._common.spellings import SecretRedactor  # noqa: PLC0415 - only failures need it

    return SecretRedactor(key, REDACTED)
