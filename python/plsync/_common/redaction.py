"""Redaction of credentials: how a credential is recognised and replaced.

The native module has the rules, in ``rust/python/src/redact``, and the recorder uses them without Python. This module
offers them to Python. Every function takes time in proportion to its text. ``redact_text`` replaces a text above 8 MiB
unread.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from plsync._common import native

__all__ = [
    "REDACTED",
    "Redact",
    "is_credential_name",
    "is_url_credential",
    "redact_secrets",
    "redact_settings",
    "redact_text",
    "redact_urls",
]

REDACTED: Final = "[redacted]"
"""Replaces a credential."""

Redact = Callable[[dict[str, Any]], "dict[str, Any] | None"]
"""A redact hook: takes an event, returns the event to keep, or None to keep ids and times only."""


def is_credential_name(key: object) -> bool:
    """Whether a header or setting of this name holds a credential.

    Args:
        key: the name, as str or as bytes. Any other object names no credential.

    >>> is_credential_name("X-Api-Key"), is_credential_name("openai_api_key"), is_credential_name("max_tokens")
    (True, True, False)
    """
    return native.is_credential_name(key)


def is_url_credential(name: str) -> bool:
    """Whether a parameter of this name in a URL of a message holds a credential.

    The list is shorter than the list of ``is_credential_name``, and the keys of recordings depend on it.

    >>> is_url_credential("api_key"), is_url_credential("page")
    (True, False)
    """
    return native.is_url_credential(name)


def redact_text(text: str) -> str:
    """The text of a setting, a name, an error or a log without its credentials.

    Found are values after the name of a credential, tokens of known forms, and the users, passwords and keys of URLs.

    >>> redact_text("401 for https://ann:secret@example.org/x?page=1&api_key=secret: Authorization: Bearer secret")
    '401 for https://[redacted]@example.org/x?page=1&api_key=[redacted]: Authorization: [redacted]'
    """
    return native.redact_text(text)


def redact_urls(text: str) -> str:
    """The text of a message with the passwords, keys and signatures of its URLs replaced, and nothing else.

    The keys of recordings depend on the result.

    >>> redact_urls("password: secret, see https://ann:secret@example.org/x?page=1&api_key=secret")
    'password: secret, see https://[redacted]@example.org/x?page=1&api_key=[redacted]'
    """
    return native.redact_urls(text)


def redact_secrets(text: str, secrets: Iterable[str]) -> str:
    """The text with secrets of known values replaced, in each spelling in which a server may repeat them.

    The spellings are: other capitals, a break of the line, percent-encoding, JSON's escapes, and base64, alone or
    behind a user name.

    Args:
        text: any text. Cut it afterwards and not before: a part of a secret is not found.
        secrets: the secrets. One of fewer than 8 characters is ignored, because it may be an ordinary word.

    >>> redact_secrets("key MY-SECRET-KEY was refused", ["my-secret-key"])
    'key [redacted] was refused'
    """
    return native.redact_secrets(text, list(secrets))


def redact_settings(value: Any) -> Any:
    """A copy of settings or headers in which credentials are replaced, by their name and in texts.

    A container that contains itself, is nested more than 100 deep, or fails to be read is replaced whole.

    >>> redact_settings({"headers": [("Authorization", "Bearer abc")], "temperature": 0})
    {'headers': [('Authorization', '[redacted]')], 'temperature': 0}
    """
    return native.redact_settings(value)
