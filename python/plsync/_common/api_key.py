"""PromptLayer's API keys: the key of the environment, and the removal of keys from texts that are stored or logged."""

from __future__ import annotations

import functools
import os
import re
from typing import TYPE_CHECKING, Final

from plsync._common.redaction import REDACTED

if TYPE_CHECKING:
    from plsync._common.spellings import SecretRedactor

__all__ = ["KEY_VARIABLE", "forget_keys", "redact_api_keys", "remember_key", "variable_key"]

KEY_VARIABLE: Final = "PROMPTLAYER_API_KEY"

# Characters at each end of a text that are searched for the key in any spelling: a microsecond each.
_SEARCHED: Final = 32 << 10

# Keys that this process has read from files and commands, the newest last. Logs may quote a key that was replaced.
_MOST_KEYS: Final = 32
_read_keys: dict[str, None] = {}

_API_KEYS: Final = r"(?<=://)[^/\s@]+@|\bpl_[A-Za-z0-9]{16,}"


def variable_key(name: str = KEY_VARIABLE) -> str | None:
    """The value of an environment variable without surrounding space; None when it is unset or empty."""
    return os.environ.get(name, "").strip() or None


def remember_key(key: str) -> None:
    """Let :func:`redact_api_keys` find a key that is not in ``PROMPTLAYER_API_KEY``. Only memory holds it."""
    _read_keys.pop(key, None)
    _read_keys[key] = None
    while len(_read_keys) > _MOST_KEYS:
        _read_keys.pop(next(iter(_read_keys)), None)


def forget_keys() -> None:
    """Forget the keys that :func:`remember_key` has noted."""
    _read_keys.clear()


def redact_api_keys(text: str) -> str:
    """The text with PromptLayer's API keys, and the user names and passwords in URLs, replaced.

    The keys that this process has read are found in any spelling, and in parts of eight characters or more.

    >>> redact_api_keys("pl_0123456789abcdef0123 was refused")
    '[redacted] was refused'
    """
    for key in dict.fromkeys(filter(None, (variable_key(), *list(_read_keys)))):
        text = _without_key(text, key)
    return re.sub(_API_KEYS, REDACTED, text)


def _without_key(text: str, key: str) -> str:
    redact = _redactor(key)
    if len(text) <= 2 * _SEARCHED:
        return redact(text)
    # Logs and records keep only the beginning or the end of a long text.
    middle = text[_SEARCHED:-_SEARCHED].replace(key, REDACTED)
    return redact(text[:_SEARCHED]) + middle + redact(text[-_SEARCHED:])


@functools.lru_cache(maxsize=_MOST_KEYS + 1)
def _redactor(key: str) -> SecretRedactor:
    from plsync._common.spellings import SecretRedactor  # noqa: PLC0415 - only failures need it

    return SecretRedactor(key, REDACTED)
