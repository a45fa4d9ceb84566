"""The identity of an account: a keyed hash of a server's URL and an API key, from which the key cannot be read."""

from __future__ import annotations

import hashlib
from typing import Final
from urllib.parse import urlsplit

__all__ = ["account_id", "without_user_info"]

_BYTES: Final = 16


def account_id(base_url: str, api_key: str, secret: bytes) -> bytes:
    """16 bytes that are the same for the same URL, key and secret.

    Args:
        base_url: the URL, without user name and password.
        api_key: PromptLayer's key.
        secret: random bytes that are stored beside the result.

    >>> account_id("https://api.promptlayer.com", "pl_1", b"secret").hex()
    '02af1366c639578c28353d26755c020c'
    """
    owner = f"{base_url}\0{api_key}".encode("utf-8", "surrogateescape")
    return hashlib.blake2b(owner, key=secret, digest_size=_BYTES).digest()


def without_user_info(base_url: str) -> str:
    """The URL without user name and password.

    >>> without_user_info("https://user:password@host/path/")
    'https://host/path'
    """
    parts = urlsplit(base_url.strip().rstrip("/"))
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
