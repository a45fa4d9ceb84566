"""Records as a table, for ``list`` and ``tail``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from rich.text import Text

from plsync.cli import humanize
from plsync.cli.output import one_line
from plsync.journal.events.facts import short_model
from plsync.journal.journal import Journal
from plsync.journal.record import Record

__all__ = ["table_lines"]

# Name, greatest width, and whether a narrow terminal shows the column. The input takes the remaining width.
_COLUMNS: Final = (
    ("ID", 36, True),
    ("STARTED", 19, True),
    ("MODEL", 24, True),
    ("RESULT", 16, True),
    ("DELIVERY", 20, True),
    ("TOOK", 12, False),
    ("TOKENS", 14, False),
    ("TAGS", 24, False),
    ("INPUT", 200, True),
)
_WIDE: Final = 110
_NARROW_MODEL: Final = 12


def table_lines(journal: Journal, records: Sequence[Record], width: int) -> Iterator[Text]:
    """A heading, then one line per record. Columns fit these records; no line is longer than ``width``."""
    table = [[Text(name, style="bold") for name, _, _ in _COLUMNS], *(_cells(journal, record) for record in records)]
    is_wide = width >= _WIDE
    for row in table[1:] if not is_wide else []:
        row[1] = row[1][5:]  # the year
        row[2].truncate(_NARROW_MODEL, overflow="ellipsis")
    columns = [
        _padded([row[number] for row in table], widest)
        for number, (_, widest, stays) in enumerate(_COLUMNS)
        if stays or is_wide
    ]
    for cells in zip(*columns, strict=True):
        line = Text("  ").join(cells)
        line.rstrip()
        line.truncate(width, overflow="ellipsis")
        yield line


def _padded(cells: list[Text], widest: int) -> list[Text]:
    width = min(widest, max(cell.cell_len for cell in cells))
    for cell in cells:
        cell.truncate(width, overflow="ellipsis", pad=True)
    return cells


def _cells(journal: Journal, record: Record) -> list[Text]:
    return [
        Text(journal.short_id(record), style="yellow"),
        Text(humanize.local_time(record.started_at)),
        one_line(short_model(record.model or "")),
        humanize.result(record),
        humanize.delivery(record),
        Text(humanize.duration(record.duration_ns)),
        Text(humanize.tokens(record)),
        one_line(", ".join(record.tags)),
        one_line(humanize.preview(record)),
    ]
