"""What the environment says of PromptLayer: the variables of its own SDK."""

from __future__ import annotations

import os
from typing import Final

from plsync._common.redaction import KEY_VARIABLE, api_key

__all__ = ["DEFAULT_BASE_URL", "KEY_VARIABLE", "api_key", "base_url"]

DEFAULT_BASE_URL: Final = "https://api.promptlayer.com"
_URL_VARIABLE: Final = "PROMPTLAYER_BASE_URL"


def base_url() -> str:
    """``PROMPTLAYER_BASE_URL``, else PromptLayer's own."""
    return os.environ.get(_URL_VARIABLE, "").strip() or DEFAULT_BASE_URL
