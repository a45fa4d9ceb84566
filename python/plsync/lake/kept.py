"""Records that match the filters of a lake no more, because the quota has removed their content from the journal.

A lake keeps the content that the quota removed. So these records stay in the lake if they are there.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from plsync.lake.days import date_of, file_name
from plsync.lake.files import record_ids

if TYPE_CHECKING:
    from plsync.journal.filters import Filters
    from plsync.journal.journal import Journal
    from plsync.journal.record import Record

__all__ = ["KeptRecords"]

# The filters that need the content of a record. The journal keeps tags and the names of models.
_OF_CONTENT: Final = ("thread", "metadata", "text", "slower")
# A day has several files, and its records alternate between them.
_FILES: Final = 4


class KeptRecords:
    """The records of a lake without content in the journal.

    Args:
        journal: the journal.
        directory: the directory of the lake.
        filters: the filters of the export, without times.
    """

    def __init__(self, journal: Journal, directory: Path, filters: dict[str, Any]) -> None:
        self._journal = journal
        self._directory = directory
        self._filters = {name: value for name, value in filters.items() if name not in _OF_CONTENT}
        is_narrower = len(self._filters) < len(filters)
        self.are_possible: Final = is_narrower and journal.stats().pruned > 0
        self._ids: OrderedDict[str, set[str]] = OrderedDict()

    def records(self, bounds: Filters) -> Iterator[Record]:
        """These records between two times, in the order of their start."""
        for record in self._journal.records(oldest_first=True, **{"runs": True, **self._filters, **bounds}):
            if record.pruned and record.id in self._ids_of(record):
                yield record

    def _ids_of(self, record: Record) -> set[str]:
        """The ids of the records in the file that may have this record."""
        name = file_name(self._journal.id, date_of(record), record.seq)
        found = self._ids.get(name)
        if found is None:
            found = self._ids[name] = record_ids(self._directory / name)
            while len(self._ids) > _FILES:
                self._ids.popitem(last=False)
        return found
