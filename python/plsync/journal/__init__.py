"""The journal: an LMDB store behind a spool, with one module per queue.

Its public names load on first use.

>>> from plsync.journal import Journal
>>> with Journal.open(create=True) as journal:
...     journal.stats().dropped
0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from plsync._common.lazy import exports

if TYPE_CHECKING:
    from plsync.journal.acks import Ack as Ack
    from plsync.journal.digests import Digest as Digest
    from plsync.journal.digests import DigestProgress as DigestProgress
    from plsync.journal.digests import Digests as Digests
    from plsync.journal.facets import Facets as Facets
    from plsync.journal.facets import Histogram as Histogram
    from plsync.journal.filters import Filters as Filters
    from plsync.journal.followups import FollowUp as FollowUp
    from plsync.journal.forget import ForgetReceipt as ForgetReceipt
    from plsync.journal.forget import ForgottenRecord as ForgottenRecord
    from plsync.journal.journal import Journal as Journal
    from plsync.journal.quota import Quota as Quota
    from plsync.journal.record import Record as Record
    from plsync.journal.reports import BackupReport as BackupReport
    from plsync.journal.reports import CheckReport as CheckReport
    from plsync.journal.reports import CompactReport as CompactReport
    from plsync.journal.reports import IngestReport as IngestReport
    from plsync.journal.reports import Receipt as Receipt
    from plsync.journal.reports import SalvageReport as SalvageReport
    from plsync.journal.reports import SinkBacklog as SinkBacklog
    from plsync.journal.reports import Stats as Stats
    from plsync.journal.search_page import Page as Page
    from plsync.journal.sharing import ShareReport as ShareReport
    from plsync.journal.tree import Run as Run
    from plsync.journal.usage import GroupUsage as GroupUsage
    from plsync.journal.usage import UsageReport as UsageReport

__all__ = [
    "Ack",
    "BackupReport",
    "CheckReport",
    "CompactReport",
    "Digest",
    "DigestProgress",
    "Digests",
    "Facets",
    "Filters",
    "FollowUp",
    "ForgetReceipt",
    "ForgottenRecord",
    "GroupUsage",
    "Histogram",
    "IngestReport",
    "Journal",
    "Page",
    "Quota",
    "Receipt",
    "Record",
    "Run",
    "SalvageReport",
    "ShareReport",
    "SinkBacklog",
    "Stats",
    "UsageReport",
]

__getattr__, __dir__ = exports(
    __name__,
    {
        "Ack": "plsync.journal.acks",
        "BackupReport": "plsync.journal.reports",
        "CheckReport": "plsync.journal.reports",
        "CompactReport": "plsync.journal.reports",
        "Digest": "plsync.journal.digests",
        "DigestProgress": "plsync.journal.digests",
        "Digests": "plsync.journal.digests",
        "Facets": "plsync.journal.facets",
        "Filters": "plsync.journal.filters",
        "FollowUp": "plsync.journal.followups",
        "ForgetReceipt": "plsync.journal.forget",
        "ForgottenRecord": "plsync.journal.forget",
        "GroupUsage": "plsync.journal.usage",
        "Histogram": "plsync.journal.facets",
        "IngestReport": "plsync.journal.reports",
        "Journal": "plsync.journal.journal",
        "Page": "plsync.journal.search_page",
        "Quota": "plsync.journal.quota",
        "Receipt": "plsync.journal.reports",
        "Record": "plsync.journal.record",
        "Run": "plsync.journal.tree",
        "SalvageReport": "plsync.journal.reports",
        "ShareReport": "plsync.journal.sharing",
        "SinkBacklog": "plsync.journal.reports",
        "Stats": "plsync.journal.reports",
        "UsageReport": "plsync.journal.usage",
    },
)
