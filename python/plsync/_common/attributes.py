"""Reads attributes of foreign objects."""

from __future__ import annotations

from typing import Any

__all__ = ["attribute_or_none"]


def attribute_or_none(owner: Any, name: str) -> Any:
    """An attribute, or None if it is missing or cannot be read."""
    try:
        return getattr(owner, name, None)
    except BaseException:  # a property may read a response that never arrived
        return None
