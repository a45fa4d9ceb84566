"""The journal: an LMDB store behind a spool, with one module for each of its queues.

>>> from plsync import Journal
>>> Journal.open("./calls").stats().records
0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plsync._common.lazy import exports

if TYPE_CHECKING:
    from plsync.journal.journal import Journal as Journal
    from plsync.journal.record import Record as Record

__all__ = ["Journal", "Record"]

__getattr__, __dir__ = exports(
    __name__,
    {
        "Journal": "plsync.journal.journal",
        "Record": "plsync.journal.record",
    },
)
