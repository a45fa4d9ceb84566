"""Links without the parts that a server generates for each download."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from plsync._common.redaction import names_a_secret, without_credentials

__all__ = ["without_signature"]

# Query parameters that sign a link or limit its lifetime (AWS, Google Cloud, Azure, CloudFront).
_SIGNING: Final = re.compile(
    r"^(x-(amz|goog|ms)-.*|sig|signature|key-pair-id|policy|expires|key|se|sp|sr|st|sv|skoid)$", re.IGNORECASE
)


def without_signature(link: str) -> str:
    """A link without user, password, signature and expiry.

    >>> without_signature("https://example.org/cat.png?page=1&X-Amz-Signature=2f0e")
    'https://example.org/cat.png?page=1'
    """
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
