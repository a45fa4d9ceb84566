"""Links without what gives access: passwords, keys and signatures."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from plsync.privacy import names_a_secret

__all__ = ["unsigned", "without_credentials"]

_REDACTED: Final = "[redacted]"
_USER_INFO: Final = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/:@]*:[^\s/@]+@", re.IGNORECASE)
# In running text a link ends before what may surround it.
_QUERY: Final = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s?\"'<>`]*\?)([^\s\"'<>`)]+)", re.IGNORECASE)
_PARAMETER: Final = re.compile(r"([^&;#=]+)=([^&;#]+)")
_SIGNATURE: Final = re.compile(
    r"^(sig|signature|x-(amz|goog|ms)-(credential|security-token|signature))$", re.IGNORECASE
)
# Google calls its keys just that; what is shorter may be a key to something else.
_KEY: Final = 20
# What is drawn anew each time such a link is handed out.
_SIGNING: Final = re.compile(
    r"^(x-(amz|goog|ms)-.*|sig|signature|key-pair-id|policy|expires|key|se|sp|sr|st|sv|skoid)$", re.IGNORECASE
)


def without_credentials(text: str) -> str:
    """A text whose links hold no password, key or signature.

    >>> without_credentials("see https://ann:secret@example.org/x?page=1&api_key=secret")
    'see https://[redacted]@example.org/x?page=1&api_key=[redacted]'
    """
    if "://" not in text:
        return text
    if "@" in text:
        text = _USER_INFO.sub(rf"\1{_REDACTED}@", text)
    return _QUERY.sub(_without_keys, text) if "?" in text else text


def _without_keys(link: re.Match[str]) -> str:
    return link[1] + _PARAMETER.sub(_without_key, link[2])


def _without_key(parameter: re.Match[str]) -> str:
    name, value = parameter.groups()
    is_secret = names_a_secret(name) or _SIGNATURE.match(name) or (name.lower() == "key" and len(value) >= _KEY)
    return f"{name}={_REDACTED}" if is_secret else parameter[0]


def unsigned(link: str) -> str:
    """A link without what is drawn anew each time it is handed out: user, password, signature, expiry."""
    try:
        parts = urlsplit(link)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return without_credentials(link)
    kept = [(name, value) for name, value in pairs if not (_SIGNING.match(name) or names_a_secret(name))]
    if len(kept) == len(pairs):
        return without_credentials(link)
    query = "&".join(f"{quote(name)}={quote(value)}" for name, value in kept)
    return without_credentials(urlunsplit(parts._replace(query=query)))
