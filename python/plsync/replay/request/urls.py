"""Links without what is drawn anew each time they are handed out."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit, urlunsplit

from plsync._common.redaction import names_a_secret, without_credentials

__all__ = ["unsigned"]

# What is drawn anew each time such a link is handed out.
_SIGNING: Final = re.compile(
    r"^(x-(amz|goog|ms)-.*|sig|signature|key-pair-id|policy|expires|key|se|sp|sr|st|sv|skoid)$", re.IGNORECASE
)


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
