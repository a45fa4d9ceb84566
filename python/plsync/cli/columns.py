"""Tables whose columns make room for one of them: of follow-ups, and of runs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final

from rich.text import Text

from plsync.cli import humanize

__all__ = ["short_time", "table_lines"]

_GAP: Final = "  "


def table_lines(
    rows: Sequence[Mapping[str, Text]], width: int, main: str, least: int, steps: Sequence[tuple[str, int]]
) -> Iterator[Text]:
    """A heading, then one line per row, no line longer than ``width``.

    Args:
        rows: the cells by the names of the columns; at least one row.
        width: the greatest length of a line, in columns.
        main: the column that the other ones make room for.
        least: the room that it gets, unless it needs less.
        steps: the columns to narrow, each to a width, one after the other; a width of 0 drops the column.
    """
    widths = {name: max(len(name), *(row[name].cell_len for row in rows)) for name in rows[0]}
    needed = min(least, widths[main])
    for name, size in steps:
        if width - sum(widths.values()) + widths[main] - len(_GAP) * (len(widths) - 1) >= needed:
            break
        if size:
            widths[name] = min(widths[name], size)
        else:
            del widths[name]
    for row in ({name: Text(name, style="bold") for name in widths}, *rows):
        cells = [row[name].copy() for name in widths]
        for cell, size in zip(cells[:-1], widths.values(), strict=False):
            cell.truncate(size, overflow="ellipsis", pad=True)
        line = Text(_GAP).join(cells)
        line.rstrip()
        line.truncate(width, overflow="ellipsis")
        yield line


def short_time(at: datetime, *, is_full: bool) -> Text:
    """A time in the local zone. On a terminal a time of today has no date."""
    local = at.astimezone()
    is_today = not is_full and local.date() == datetime.now().astimezone().date()
    return Text(f"{local:%H:%M:%S}" if is_today else humanize.local_time(local))
