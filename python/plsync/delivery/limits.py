"""Default limits of ``plsync run``. The command imports these alone: without httpx, which the send policy needs."""

from __future__ import annotations

from typing import Final

__all__ = ["MAX_BATCH_BYTES", "MAX_BATCH_RECORDS", "MAX_IN_FLIGHT"]

MAX_BATCH_RECORDS: Final = 200
"""Records in one request."""
MAX_BATCH_BYTES: Final = 4 << 20
"""Bytes of events in one request, on the fastest link."""
MAX_IN_FLIGHT: Final = 6
"""Requests at once."""
