"""Writes the files of one day of a lake."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from plsync._common.native import LakeColumns
from plsync.genai.columns import COLUMNS, FactsMaker
from plsync.lake.days import Digest, block_of, file_name
from plsync.lake.files import GROUP_BYTES, Compressor, EarlierRows, LakeFile, file_mode, make_day
from plsync.lake.rows import Row, row

if TYPE_CHECKING:
    import pyarrow

    from plsync.journal.record import Record
    from plsync.lake.report import LakeReport

__all__ = ["Day"]

# The columns that the journal still knows of a record whose content the quota has removed.
_KEPT: Final = ("state", "request_id", "acked_at", "marks")


@dataclass(slots=True)
class _Block:
    """One file of a day."""

    name: str
    digest: Digest = field(default_factory=Digest)
    file: LakeFile | None = None
    earlier: EarlierRows | None = None


class Day:
    """The files of one day while they are written.

    Args:
        directory: the directory of the lake.
        journal_id: the id of the journal.
        date: the day, as ISO 8601.
        maker: makes the rows that Python makes.
        schema: the schema of the files.
        report: counts the files, their records and their bytes.
    """

    def __init__(
        self,
        directory: Path,
        journal_id: str,
        date: str,
        *,
        maker: FactsMaker,
        schema: pyarrow.Schema,
        report: LakeReport,
    ) -> None:
        self._directory, self._journal_id, self._date = directory, journal_id, date
        self._maker, self._schema, self._mode, self._report = maker, schema, file_mode(directory), report
        self._compressor = Compressor()
        self._blocks: dict[int, _Block] = {}
        self._waiting = 0

    @property
    def names(self) -> set[str]:
        """The paths of the files in the lake."""
        return {block.name for block in self._blocks.values()}

    def add(self, record: Record) -> None:
        """Add the row of a record. Records must come in the order of their ids."""
        number = block_of(record.seq)
        if (block := self._blocks.get(number)) is None:
            block = self._blocks[number] = _Block(file_name(self._journal_id, self._date, record.seq))
        block.digest.add(record)
        if self._maker.redact is None and not record.pruned and self._file(block).add_record(record):
            pass
        elif (made := self._row(block, record)) is not None:
            self._file(block).add(made)
        else:
            self._report.left_out += 1
            return
        self._waiting += record.size
        if self._waiting >= GROUP_BYTES:
            for each in self._blocks.values():
                if each.file is not None:
                    each.file.flush()
            self._waiting = 0

    def _file(self, block: _Block) -> LakeFile:
        if block.file is None:
            path = self._directory / block.name
            make_day(path.parent)
            columns = LakeColumns(list(COLUMNS.values()), self._journal_id, self._maker.content)
            block.file = LakeFile(path, self._schema, columns, self._mode, self._compressor)
        return block.file

    def _row(self, block: _Block, record: Record) -> Row | None:
        """The row; of a record whose content the quota has removed the row that the lake has, with the state of now."""
        made = row(self._maker, record)
        if made is None or not record.pruned:
            return made
        if block.earlier is None:
            block.earlier = EarlierRows(self._directory / block.name)
        if (found := block.earlier.find(record.id)) is None:
            return made
        now = dict(zip(COLUMNS, made, strict=True))
        return tuple([now[column] if column in _KEPT else found.get(column, now[column]) for column in COLUMNS])

    def finish(self) -> dict[str, str]:
        """Write the files under their names, and return their digests."""
        found = {}
        for block in self._blocks.values():
            if block.file is not None:
                self._report.bytes += block.file.finish()
                self._report.files += 1
                self._report.records += block.file.rows
                block.file = None
                found[block.name] = block.digest.hex()
            else:
                with contextlib.suppress(FileNotFoundError):
                    (self._directory / block.name).unlink()
                found[block.name] = block.digest.of_empty_file()
        return found

    def close(self) -> None:
        """Remove the unfinished files."""
        self._compressor.close()
        for block in self._blocks.values():
            if block.file is not None:
                block.file.discard()
