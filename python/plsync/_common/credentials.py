"""What credentials look like: the names they go by, and the links they are in."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["GONE", "names_a_secret", "without_credentials"]

GONE: Final = "[redacted]"
"""What stands in a credential's place."""

# The recorder looks for these words first (names.rs), and comes here only when it finds one.
_SECRET: Final = re.compile(
    r"(^|[\W_])(authorization|cookies?|credentials?|passphrase|passwd|passwords?|secrets?"
    r"|(api|access|private|subscription)[\W_]?keys?)([\W_]|$)"
    # Not every token: `stop_token` and `eos_token` are settings.
    r"|(^|[\W_])((access|api|auth|bearer|bot|github|hf|hub|id|jwt|private|refresh|security|session)[\W_]?)token$|^token$"
    r"|^((basic|http|proxy|x)[\W_]?)?auth$",
    re.I,
)
# Words that only a capital tells apart, as in `clientSecret`.
_HUMP: Final = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")

_USER_INFO: Final = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/:@]*:[^\s/@]+@", re.IGNORECASE)
# In running text a link ends before what may surround it.
_QUERY: Final = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^\s?\"'<>`]*\?)([^\s\"'<>`)]+)", re.IGNORECASE)
_PARAMETER: Final = re.compile(r"([^&;#=]+)=([^&;#]+)")
_SIGNATURE: Final = re.compile(
    r"^(sig|signature|x-(amz|goog|ms)-(credential|security-token|signature))$", re.IGNORECASE
)
# Google calls its keys just that; what is shorter may be a key to something else.
_KEY: Final = 20


def names_a_secret(key: object) -> bool:
    """Whether a header or setting of this name holds a credential.

    >>> names_a_secret("X-Api-Key"), names_a_secret("openai_api_key"), names_a_secret("max_tokens")
    (True, True, False)
    """
    name = key.decode("latin-1") if isinstance(key, bytes) else key
    return isinstance(name, str) and _SECRET.search(_HUMP.sub("_", name)) is not None


def without_credentials(text: str) -> str:
    """A text whose links hold no password, key or signature.

    >>> without_credentials("see https://ann:secret@example.org/x?page=1&api_key=secret")
    'see https://[redacted]@example.org/x?page=1&api_key=[redacted]'
    """
    if "://" not in text:
        return text
    if "@" in text:
        text = _USER_INFO.sub(rf"\1{GONE}@", text)
    return _QUERY.sub(_without_keys, text) if "?" in text else text


def _without_keys(link: re.Match[str]) -> str:
    return link[1] + _PARAMETER.sub(_without_key, link[2])


def _without_key(parameter: re.Match[str]) -> str:
    name, value = parameter.groups()
    is_secret = names_a_secret(name) or _SIGNATURE.match(name) or (name.lower() == "key" and len(value) >= _KEY)
    return f"{name}={GONE}" if is_secret else parameter[0]
