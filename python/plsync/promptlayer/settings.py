"""PromptLayer's settings from the environment: the same variables as for its SDK."""

from __future__ import annotations

import os
from typing import Final

from plsync._common.api_key import KEY_VARIABLE, api_key

__all__ = ["DEFAULT_BASE_URL", "KEY_VARIABLE", "api_key", "base_url"]

DEFAULT_BASE_URL: Final = "https://api.promptlayer.com"
_URL_VARIABLE: Final = "PROMPTLAYER_BASE_URL"


def base_url() -> str:
    """The value of ``PROMPTLAYER_BASE_URL``; PromptLayer's own URL if it is unset or empty."""
    return os.environ.get(_URL_VARIABLE, "").strip() or DEFAULT_BASE_URL
