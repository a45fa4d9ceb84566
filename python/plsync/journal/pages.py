"""Pages of a query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from plsync._common.native import PAGE_BYTES

if TYPE_CHECKING:
    from plsync._common.native import Row

__all__ = ["is_last"]


def is_last(page: Sequence[Row], limit: int) -> bool:
    """Whether no page follows. A page that reached ``PAGE_BYTES`` of content ended early.

    Args:
        page: the rows of ``Store.query``.
        limit: the limit that the query had.
    """
    return len(page) < limit and sum(row.size for row in page) < PAGE_BYTES
