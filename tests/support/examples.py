"""The numbers of examples of property tests. ``PLSYNC_EXAMPLES`` multiplies them; `make crash` sets it."""

from __future__ import annotations

import os

__all__ = ["examples"]

FACTOR = float(os.environ.get("PLSYNC_EXAMPLES", "0.4"))


def examples(number: int = 100) -> int:
    """The number of examples: ``number`` where the factor is 1."""
    return max(5, round(number * FACTOR))
