"""Trees as a table, for ``plsync list --trees``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from rich.text import Text

from plsync.cli import humanize
from plsync.cli.output import one_line
from plsync.cli.tree_page import sums
from plsync.journal.short_ids import short_end
from plsync.journal.tree import Run

__all__ = ["tree_lines"]

_GAP: Final = "  "
_HEADS: Final = ("ID", "STARTED", "NAME", "RESULT", "DELIVERY", "TOOK", "CALLS AND TOOLS")
_WIDEST: Final = 40


def tree_lines(trees: Iterable[Run], width: int, total: int) -> Iterator[Text]:
    """A heading, then one line for each tree.

    Args:
        trees: the roots.
        width: the greatest length of a line.
        total: the number of records in the journal, for their short ids.
    """
    rows = [[Text(head, style="bold") for head in _HEADS], *(_cells(tree, total) for tree in trees)]
    widths = [min(_WIDEST, max(row[column].cell_len for row in rows)) for column in range(len(_HEADS))]
    for row in rows:
        for cell, size in zip(row, widths, strict=True):
            cell.truncate(size, overflow="ellipsis", pad=True)
        line = Text(_GAP).join(row)
        line.rstrip()
        line.truncate(width, overflow="ellipsis")
        yield line


def _cells(tree: Run, total: int) -> list[Text]:
    return [
        Text(short_end(tree.id, total), style="yellow"),
        Text(humanize.local_time(tree.started_at)),
        one_line(tree.name or tree.kind, _WIDEST),
        humanize.result(tree.record),
        humanize.delivery(tree.record),
        Text(humanize.duration(tree.duration_ns)),
        Text(sums(tree)),
    ]
