"""What the environment says of PromptLayer: the variables of its own SDK."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["DEFAULT_BASE_URL", "KEY_VARIABLE", "api_key", "base_url"]

DEFAULT_BASE_URL: Final = "https://api.promptlayer.com"
KEY_VARIABLE: Final = "PROMPTLAYER_API_KEY"
_URL_VARIABLE: Final = "PROMPTLAYER_BASE_URL"


def api_key() -> str | None:
    """``PROMPTLAYER_API_KEY``, if it is set to anything."""
    return os.environ.get(KEY_VARIABLE, "").strip() or None


def base_url() -> str:
    """``PROMPTLAYER_BASE_URL``, else PromptLayer's own."""
    return os.environ.get(_URL_VARIABLE, "").strip() or DEFAULT_BASE_URL
