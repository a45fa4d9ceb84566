"""PromptLayer's settings from the environment: the variables of its SDK, and a file with the key."""

from __future__ import annotations

import os
from typing import Final

from plsync.config.keys import environment_key

__all__ = ["DEFAULT_BASE_URL", "api_key", "base_url"]

DEFAULT_BASE_URL: Final = "https://api.promptlayer.com"
_URL_VARIABLE: Final = "PROMPTLAYER_BASE_URL"


def api_key() -> str | None:
    """The key of ``PROMPTLAYER_API_KEY`` or ``PROMPTLAYER_API_KEY_FILE``; None when neither is set.

    Raises:
        AuthenticationError: both are set, or the file cannot be read.
    """
    source = environment_key()
    return None if source is None else source.read()


def base_url() -> str:
    """The value of ``PROMPTLAYER_BASE_URL``; PromptLayer's own URL if it is unset or empty."""
    return os.environ.get(_URL_VARIABLE, "").strip() or DEFAULT_BASE_URL
