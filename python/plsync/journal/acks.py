"""The acks of a journal: request ids in the order of their arrival, read from a cursor on."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from plsync.errors import JournalCorrupt
from plsync.journal.record import Record

if TYPE_CHECKING:
    from plsync._common.native import Store
    from plsync.journal.doorbell import Doorbell

__all__ = ["Ack", "is_cursor", "last_cursor", "read"]

_PAGE: Final = 100
# A ring may be missed. The store is queried again after this many seconds.
_REVISIT_SECONDS: Final = 30.0
_CURSOR: Final = re.compile(r"([0-9a-f]{8})-([0-9]{1,19})", re.ASCII)


def is_cursor(text: str) -> bool:
    """Whether a text has the form of a cursor."""
    return _CURSOR.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class Ack:
    """PromptLayer's request id of one record. See :meth:`plsync.Journal.acks`."""

    record_id: str
    request_id: int
    run_id: str | None
    """LangChain's run id. None when the journal has no start of the call, or the quota removed it."""
    acked_at: datetime
    """When the request id arrived, in UTC."""
    cursor: str
    """The position behind this ack, for ``Journal.acks(since=...)``."""
    server: str | None = None
    """The base URL of the server that sent the request id; None if an earlier version of plsync stored the id."""

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able; the time as ISO 8601 text."""
        return asdict(self) | {"acked_at": self.acked_at.isoformat()}


def last_cursor(store: Store) -> str:
    """The cursor behind the newest ack."""
    return _cursor(store.journal_id(), store.last_ack())


def read(store: Store, doorbell: Doorbell, since: str | None, limit: int | None, wait: float) -> Iterator[Ack]:
    """The acks behind ``since``, oldest first. See :meth:`plsync.Journal.acks`."""
    return _pages(store, doorbell, _number(store, since), limit, wait)


def _pages(store: Store, doorbell: Doorbell, number: int, limit: int | None, wait: float) -> Iterator[Ack]:
    journal = store.journal_id()
    remaining = limit
    while remaining is None or remaining > 0:
        doorbell.has_rung()  # earlier rings are noticed: the journal is read now
        page = store.acks(number, _PAGE if remaining is None else min(_PAGE, remaining))
        for at, row in page:
            number = at
            yield _ack(Record(row), _cursor(journal, at))
        remaining = None if remaining is None else remaining - len(page)
        if not page and not _wait_for_next(store, doorbell, number, wait):
            return


def _wait_for_next(store: Store, doorbell: Doorbell, number: int, seconds: float) -> bool:
    """Wait for an ack behind ``number``. Returns False when the time runs out."""
    deadline = time.monotonic() + seconds
    while (remaining := deadline - time.monotonic()) > 0:
        doorbell.wait(min(remaining, _REVISIT_SECONDS))
        # The number of the newest ack may be one of a withdrawn ack.
        if store.last_ack() > number and store.acks(number, 1):
            return True
    return False


def _ack(record: Record, cursor: str) -> Ack:
    if record.request_id is None or record.acked_at is None:
        raise JournalCorrupt(
            f"the request id of record {record.id} is damaged; "
            "`plsync salvage` makes a journal that looks it up at PromptLayer again"
        )
    return Ack(record.id, record.request_id, record.run_id, record.acked_at, cursor, record.server)


def _cursor(journal: str, number: int) -> str:
    return f"{journal[-8:]}-{number}"


def _number(store: Store, cursor: str | None) -> int:
    """The number of a cursor's ack in this journal."""
    if cursor is None:
        return 0
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise ValueError(f"{cursor!r} is not the cursor of an ack; leave it out to read all acks")
    number = int(found[2])
    if found[1] != store.journal_id()[-8:] or number > store.last_ack():
        raise ValueError(
            f"{cursor!r} is the cursor of another journal, or of this journal before it was restored or salvaged; "
            "leave it out to read all acks"
        )
    return number
