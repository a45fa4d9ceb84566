"""The certificate authorities of this process. Reading them takes 20 ms, so connections share them."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    import ssl

__all__ = ["authorities"]


def authorities() -> ssl.SSLContext:
    """The authorities of the environment (``SSL_CERT_FILE``, ``SSL_CERT_DIR``), else certifi's.

    They are read again after the file or the directory has changed.

    Raises:
        OSError: they cannot be read.
    """
    places = tuple(os.environ.get(name) or None for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"))
    return _read(*((place, _changed(place)) for place in places))


def _changed(place: str | None) -> int | None:
    try:
        return None if place is None else os.stat(place).st_mtime_ns
    except OSError:
        return None


@functools.lru_cache(maxsize=4)
def _read(_file: tuple[str | None, int | None], _directory: tuple[str | None, int | None]) -> ssl.SSLContext:
    return httpx.create_ssl_context()
