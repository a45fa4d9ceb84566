"""Writes the records of a journal into a lake."""

from __future__ import annotations

import contextlib
import heapq
import os
from collections.abc import Callable, Generator, Iterable
from datetime import date as Date
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from plsync._common.clock import ms_from_datetime
from plsync._common.files import is_file
from plsync.errors import ExportError
from plsync.genai.columns import FactsMaker
from plsync.genai.runs import finder
from plsync.journal.filters import Filters, comparable
from plsync.lake.ahead import read_ahead
from plsync.lake.cursor import Cursor, sole_export
from plsync.lake.day_files import Day
from plsync.lake.days import Digest, block_of, by_day, name_of_block, whole_days
from plsync.lake.files import make_directory, remove_leftovers
from plsync.lake.kept import KeptRecords
from plsync.lake.report import LakeReport
from plsync.lake.schema import arrow_schema, require_arrow

if TYPE_CHECKING:
    from plsync._common.redaction import Redact
    from plsync.journal.journal import Journal
    from plsync.journal.record import Record

__all__ = ["LakeReport", "export"]

_PROGRESS: Final = 1000


def export(
    journal: Journal,
    lake: str | os.PathLike[str],
    *,
    filters: Filters | None = None,
    content: bool = True,
    redact: Redact | None = None,
    redact_name: str | None = None,
    since_last: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> LakeReport:
    """Write records of a journal as Parquet files, one directory a day. Needs pyarrow.

    >>> from plsync import Journal
    >>> from plsync.lake.export import export
    >>> with Journal.open() as journal:
    ...     report = export(journal, "lake", since_last=True)

    Args:
        journal: the journal.
        lake: the directory of the lake. It is made if it is missing.
        filters: the filters of :meth:`plsync.Journal.records`. ``since`` and ``until`` choose whole days in UTC.
        content: whether to write messages, tools and error messages.
        redact: a hook that receives each row by column, and returns the row to write, or None to leave it out.
        redact_name: the name of the hook, which the lake remembers.
        since_last: write only the files whose records changed since the last export into this lake.
        on_progress: receives the number of records that were read, now and then.

    Raises:
        ExportError: pyarrow is missing, the lake cannot be written, or the hook failed. Also if another process
            exports this journal into the lake, or the lake has its records with other options. Every file is whole.
        ValueError, TypeError: a filter is wrong.
    """
    require_arrow()
    chosen = cast("dict[str, Any]", dict(filters or {}))
    first, last = whole_days(chosen.pop("since", None), chosen.pop("until", None))
    options = {"filters": comparable(chosen), "content": content, "redact": redact_name}
    directory = Path(os.path.abspath(lake))
    make_directory(directory)
    with sole_export(directory, journal.id):
        remove_leftovers(directory, journal.id)
        cursor = Cursor.load(directory, journal.id, options)
        report = LakeReport(directory)
        maker = FactsMaker(journal.id, content=content, redact=redact, find=finder(journal))
        task = _Export(
            journal=journal,
            directory=directory,
            filters=chosen,
            cursor=cursor,
            maker=maker,
            report=report,
            on_progress=on_progress or (lambda _: None),
        )
        try:
            task.run(first, last, since_last=since_last and not cursor.is_new)
        except OSError as error:
            raise ExportError(
                f"{error.strerror or error} in {directory}; every file there is whole, and the journal is unchanged: "
                "remove the cause, and export again with --since-last"
            ) from error
        return report


class _Export:
    def __init__(
        self,
        *,
        journal: Journal,
        directory: Path,
        filters: dict[str, Any],
        cursor: Cursor,
        maker: FactsMaker,
        report: LakeReport,
        on_progress: Callable[[int], None],
    ) -> None:
        self._journal = journal
        self._directory = directory
        self._filters = filters
        self._cursor = cursor
        self._maker = maker
        self._report = report
        self._on_progress = on_progress
        self._read = 0
        self._schema = arrow_schema(journal.id)
        self._kept = KeptRecords(journal, directory, filters)

    def run(self, first: datetime | None, last: datetime | None, *, since_last: bool) -> None:
        if since_last:
            present, changed = self._compare(first, last)
            for date in changed:
                midnight = datetime.combine(Date.fromisoformat(date), datetime.min.time(), timezone.utc)
                with contextlib.closing(self._records(midnight, midnight + timedelta(days=1))) as records:
                    _, group = next(by_day(records), (date, iter(())))
                    self._write_day(date, group)
        else:
            present = set()
            with contextlib.closing(self._records(first, last)) as records:
                for date, group in by_day(records):
                    present |= self._write_day(date, group)
        self._remove_others(present, first, last)

    def _records(self, first: datetime | None, last: datetime | None) -> Generator[Record]:
        bounds: Filters = {}
        if first is not None:
            bounds["since"] = first
        if last is not None:
            bounds["until"] = last
        matching = self._journal.records(oldest_first=True, **{"runs": True, **self._filters, **bounds})
        found: Iterable[Record] = matching
        if self._kept.are_possible:
            found = heapq.merge(matching, self._kept.records(bounds), key=_id)
        with contextlib.closing(read_ahead(found)) as records:
            for record in records:
                self._read += 1
                if not self._read % _PROGRESS:
                    self._on_progress(self._read)
                yield record

    def _compare(self, first: datetime | None, last: datetime | None) -> tuple[set[str], list[str]]:
        """The files that the lake should have, and the days of those whose records changed."""
        present: set[str] = set()
        changed = []
        journal_id = self._journal.id
        for date, group in by_day(self._records(first, last)):
            blocks: dict[int, Digest] = {}
            for record in group:
                block = block_of(record.seq)
                if (digest := blocks.get(block)) is None:
                    digest = blocks[block] = Digest()
                digest.add(record)
            digests = {name_of_block(journal_id, date, block): digest for block, digest in blocks.items()}
            present |= digests.keys()
            if all(self._has(name, digest) for name, digest in digests.items()):
                self._report.unchanged += len(digests)
            else:
                changed.append(date)
        return present, changed

    def _has(self, name: str, digest: Digest) -> bool:
        """Whether the lake has a file with the present states of its records."""
        known = self._cursor.files.get(name)
        return known == digest.of_empty_file() or (known == digest.hex() and is_file(self._directory / name))

    def _write_day(self, date: str, records: Iterable[Record]) -> set[str]:
        """Write the files of a day, and return their names."""
        day = Day(self._directory, self._journal.id, date, maker=self._maker, schema=self._schema, report=self._report)
        with contextlib.closing(day):
            for record in records:
                day.add(record)
            self._cursor.files.update(day.finish())
            self._cursor.save()
        return day.names

    def _remove_others(self, present: set[str], first: datetime | None, last: datetime | None) -> None:
        """Remove the files of the chosen days whose records match no more."""
        others = [name for name in self._cursor.files if name not in present and _is_between(name, first, last)]
        for name in others:
            with contextlib.suppress(FileNotFoundError):
                (self._directory / name).unlink()
                self._report.removed += 1
            del self._cursor.files[name]
        if others:
            self._cursor.save()


def _id(record: Record) -> bytes:
    return record.stored_row().id


def _is_between(name: str, first: datetime | None, last: datetime | None) -> bool:
    date = name.removeprefix("date=").partition("/")[0]
    ms = ms_from_datetime(datetime.combine(Date.fromisoformat(date), datetime.min.time(), timezone.utc))
    return (first is None or ms >= ms_from_datetime(first)) and (last is None or ms < ms_from_datetime(last))
