"""The days of a lake, and the blocks of records in a day.

A file holds the records of one block that were started on one day in UTC. A block has the records of 50,000 numbers
(``Record.seq``). So a record stays in one file under one name, however often it is exported. Copies of a lake can be
merged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta, timezone
from hashlib import blake2b
from itertools import groupby
from struct import Struct
from typing import TYPE_CHECKING, Final

from plsync._common.clock import datetime_from_ms

if TYPE_CHECKING:
    from plsync.journal.record import Record

__all__ = ["BLOCK", "Digest", "block_of", "by_day", "date_of", "file_name", "name_of_block", "whole_days"]

BLOCK: Final = 50_000
"""The record numbers of a block."""

_DAY_MS: Final = 86_400_000
_LAST_DAY: Final = 2_932_896  # 9999-12-31
_LAST_TIME: Final = datetime(9999, 12, 31, tzinfo=timezone.utc)
_STATE: Final = Struct("<16sBBBQ")


def by_day(records: Iterable[Record]) -> Iterator[tuple[str, Iterator[Record]]]:
    """Records in the order of their start, with the date of each group in UTC."""
    for day, group in groupby(records, _day):
        yield _date(day), group


def date_of(record: Record) -> str:
    """The date of a record's start in UTC."""
    return _date(_day(record))


def _date(day: int) -> str:
    return datetime_from_ms(day * _DAY_MS).date().isoformat()


def _day(record: Record) -> int:
    # By the id, as all filters and orders of plsync: a call whose start is lost has no other time of its start.
    return min(int.from_bytes(record.stored_row().id[:6], "big") // _DAY_MS, _LAST_DAY)


def block_of(seq: int) -> int:
    """The number of the block of a record."""
    return (seq - 1) // BLOCK


def file_name(journal_id: str, date: str, seq: int) -> str:
    """The path of the file of a record in the lake."""
    return name_of_block(journal_id, date, block_of(seq))


def name_of_block(journal_id: str, date: str, block: int) -> str:
    """The path of the file of a block in the lake."""
    first = block * BLOCK + 1
    return f"date={date}/{journal_id}-{first}-{first + BLOCK - 1}.parquet"


def whole_days(since: datetime | None, until: datetime | None) -> tuple[datetime | None, datetime | None]:
    """The start of the first day, and the end of the last day, in UTC. A file always holds its whole day."""
    first = None if since is None else _midnight(since)
    last = None if until is None else _midnight(until)
    if last is not None and until is not None and last < until < _LAST_TIME:
        last += timedelta(days=1)
    return first, last


def _midnight(at: datetime) -> datetime:
    return at.astimezone(timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)


class Digest:
    """A digest of the parts of records that change: the end of the call, the state, the marks and the request id."""

    def __init__(self) -> None:
        self._hash = blake2b(digest_size=12)

    def add(self, record: Record) -> None:
        """Add a record."""
        self._hash.update(_STATE.pack(*record.version()))

    def hex(self) -> str:
        """The digest, as text."""
        return self._hash.hexdigest()

    def of_empty_file(self) -> str:
        """The text for a file that is not there, because a hook left out all of its records."""
        return f"{self.hex()} empty"
