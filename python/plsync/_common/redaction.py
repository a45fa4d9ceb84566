"""Redaction of credentials: how a credential is recognised and replaced.

This module alone knows credentials. The native encoder (``rust/python/src/encode/secrets.rs``) receives
``is_credential_name``, ``redact_text``, ``redact_settings``, ``SCHEMA_KEYS`` and ``REDACTED`` from here.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

__all__ = [
    "REDACTED",
    "SCHEMA_KEYS",
    "Redact",
    "is_credential_name",
    "redact_settings",
    "redact_text",
]

REDACTED: Final = "[redacted]"
"""Replaces a credential."""

SCHEMA_KEYS: Final = frozenset({"input_schema", "json_schema", "parameters", "properties", "schema"})
"""Keys of JSON schemas. A schema names the program's data, and a tool may well take a password."""

Redact = Callable[[dict[str, Any]], "dict[str, Any] | None"]
"""A redact hook: takes an event, returns the event to keep, or None to keep ids and times only."""

# The recorder searches a name for these words first (rust/python/src/encode/key_cache.rs), and calls is_credential_name
# only when it finds one.
_CREDENTIAL_NAME: Final = (
    r"(?i)(^|[\W_])(authorization|cookies?|credentials?|passphrase|passwd|passwords?|secrets?"
    r"|(api|access|private|subscription)[\W_]?keys?)([\W_]|$)"
    # Not every token: `stop_token` and `eos_token` are settings.
    r"|(^|[\W_])((access|api|auth|bearer|bot|github|hf|hub|id|jwt|private|refresh|security|session)[\W_]?)token$|^token$"
    r"|^((basic|http|proxy|x)[\W_]?)?auth$"
)
# Words that only a capital separates, as in `clientSecret`.
_CAMEL_CASE: Final = r"(?<=[a-z0-9])(?=[A-Z])"

_USER_INFO: Final = r"(?i)(\b[a-z][a-z0-9+.-]*://)[^\s/:@]*:[^\s/@]+@"
# A URL in running text ends before a quote, a bracket or a space.
_QUERY: Final = r"(?i)(\b[a-z][a-z0-9+.-]*://[^\s?\"'<>`]*\?)([^\s\"'<>`)]+)"
_PARAMETER: Final = r"([^&;#=]+)=([^&;#]+)"
_SIGNATURE: Final = r"(?i)^(sig|signature|x-(amz|goog|ms)-(credential|security-token|signature))$"
# Google names its API key `key`. A shorter value under that name may be a dictionary key.
_SHORTEST_KEY: Final = 20

_MAX_DEPTH: Final = 100


@functools.cache
def _pattern(text: str) -> re.Pattern[str]:
    # Compiled at first use: compiling all of them would be half of the handler's import.
    return re.compile(text)


def is_credential_name(key: object) -> bool:
    """Whether a header or setting of this name holds a credential.

    Args:
        key: the name, as str or as bytes. Any other object names no credential.

    >>> is_credential_name("X-Api-Key"), is_credential_name("openai_api_key"), is_credential_name("max_tokens")
    (True, True, False)
    """
    name = key.decode("latin-1") if isinstance(key, bytes) else key
    return isinstance(name, str) and _pattern(_CREDENTIAL_NAME).search(_pattern(_CAMEL_CASE).sub("_", name)) is not None


def redact_text(text: str) -> str:
    """The text with the passwords, keys and signatures of its URLs replaced.

    >>> redact_text("see https://ann:secret@example.org/x?page=1&api_key=secret")
    'see https://[redacted]@example.org/x?page=1&api_key=[redacted]'
    """
    if "://" not in text:
        return text
    if "@" in text:
        text = _pattern(_USER_INFO).sub(rf"\1{REDACTED}@", text)
    return _pattern(_QUERY).sub(_redact_url, text) if "?" in text else text


def _redact_url(url: re.Match[str]) -> str:
    return url[1] + _pattern(_PARAMETER).sub(_redact_parameter, url[2])


def _redact_parameter(parameter: re.Match[str]) -> str:
    name, value = parameter.groups()
    is_key = name.lower() == "key" and len(value) >= _SHORTEST_KEY
    return (
        f"{name}={REDACTED}" if is_key or is_credential_name(name) or _pattern(_SIGNATURE).match(name) else parameter[0]
    )


def redact_settings(value: Any, _parents: tuple[int, ...] = ()) -> Any:
    """A copy of settings or headers in which credentials are replaced, by their name and in URLs.

    A container that contains itself, is nested more than 100 deep, or fails to be read is replaced whole.

    >>> redact_settings({"headers": [("Authorization", "Bearer abc")], "temperature": 0})
    {'headers': [('Authorization', '[redacted]')], 'temperature': 0}
    """
    kind = type(value)  # isinstance() would run code of the program's class
    if not issubclass(kind, (Mapping, list, tuple)):
        return redact_text(value) if kind is str else value
    if id(value) in _parents or len(_parents) >= _MAX_DEPTH:
        return REDACTED
    parents = (*_parents, id(value))
    try:
        if issubclass(kind, Mapping):
            return {key: _redact_setting(key, item, parents) for key, item in value.items()}
        if (names := getattr(kind, "_fields", None)) and len(names) == len(value):  # a named tuple
            return tuple(_redact_setting(name, item, parents) for name, item in zip(names, value, strict=True))
        items = [_redact_pair(item, parents) for item in value]
    except Exception:  # raised by a container class of the program
        return REDACTED
    return tuple(items) if issubclass(kind, tuple) else items


def _redact_setting(key: Any, value: Any, parents: tuple[int, ...]) -> Any:
    if value is None or key in SCHEMA_KEYS:
        return value
    return REDACTED if is_credential_name(key) else redact_settings(value, parents)


def _redact_pair(item: Any, parents: tuple[int, ...]) -> Any:
    """An item of a list. Some clients list headers as pairs of name and value."""
    kind = type(item)
    if kind in {list, tuple} and len(item) == 2 and is_credential_name(item[0]):
        return kind((item[0], REDACTED))
    return redact_settings(item, parents)
