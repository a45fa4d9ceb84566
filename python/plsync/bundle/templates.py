"""Prompt templates in a bundle back, for an origin without a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["KeptSet", "TemplateSet"]


@dataclass(frozen=True)
class TemplateSet:
    """The prompt templates of a workspace."""

    digest: bytes
    """32 bytes, which are others for other templates."""
    contents: Sequence[bytes]
    """The JSON of each template, in the order of their SHA-256."""


@dataclass(frozen=True)
class KeptSet:
    """The set of prompt templates that an origin keeps from a hub."""

    digest: bytes
    """32 bytes, which only the hub can compare with its own."""
    is_stated: bool
    """Whether a bundle to the hub has stated the digest since the hub sent the set last."""
