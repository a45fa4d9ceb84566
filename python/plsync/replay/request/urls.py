"""URLs without the parts that a server generates for each download."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from plsync._common.redaction import is_url_credential, redact_urls

__all__ = ["without_signature"]

# Query parameters that sign a URL or limit its lifetime (AWS, Google Cloud, Azure, CloudFront).
_SIGNING: Final = re.compile(
    r"^(x-(amz|goog|ms)-.*|sig|signature|key-pair-id|policy|expires|key|se|sp|sr|st|sv|skoid)$", re.IGNORECASE
)


def without_signature(url: str) -> str:
    """A URL without user, password, signature and expiry.

    >>> without_signature("https://example.org/cat.png?page=1&X-Amz-Signature=2f0e")
    'https://example.org/cat.png?page=1'
    """
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return redact_urls(url)
    kept = [(name, value) for name, value in pairs if not (_SIGNING.match(name) or is_url_credential(name))]
    if len(kept) == len(pairs):
        return redact_urls(url)
    query = "&".join(f"{quote(name)}={quote(value)}" for name, value in kept)
    return redact_urls(urlunsplit(parts._replace(query=query)))
