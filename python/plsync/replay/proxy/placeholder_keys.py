"""Placeholders for providers' API keys, while recordings are served."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

__all__ = ["KEY_VARIABLES", "set_placeholders"]

# The constructors of these providers' models fail without a key, even if no request is sent.
KEY_VARIABLES: Final = (
    "ANTHROPIC_API_KEY",
    "AZURE_OPENAI_API_KEY",
    "CEREBRAS_API_KEY",
    "COHERE_API_KEY",
    "DEEPSEEK_API_KEY",
    "FIREWORKS_API_KEY",
    "GOOGLE_API_KEY",
    "GROQ_API_KEY",
    "HUGGINGFACEHUB_API_TOKEN",
    "MISTRAL_API_KEY",
    "NVIDIA_API_KEY",
    "OPENAI_API_KEY",
    "OPENROUTER_API_KEY",
    "PERPLEXITY_API_KEY",
    "PPLX_API_KEY",
    "TOGETHER_API_KEY",
    "UPSTAGE_API_KEY",
    "XAI_API_KEY",
)
_PLACEHOLDER: Final = "no-key-plsync-replays"

_before: dict[str, str | None] = {}


def set_placeholders(names: Iterable[str]) -> None:
    """Set the keys that are not set, and restore all others. The caller holds the lock of the open blocks."""
    wanted = set(names)
    for name in [name for name in _before if name not in wanted]:
        value = _before.pop(name)
        if os.environ.get(name) == _PLACEHOLDER:
            del os.environ[name]
            if value is not None:
                os.environ[name] = value
    for name in wanted:
        value = os.environ.get(name)
        if not value:
            _before[name] = value
            os.environ[name] = _PLACEHOLDER
