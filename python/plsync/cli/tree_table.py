"""Trees as a table, for ``plsync list --trees``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from rich.text import Text

from plsync.cli import humanize
from plsync.cli.columns import short_time, table_lines
from plsync.cli.output import one_line
from plsync.cli.tree_page import sums
from plsync.journal.short_ids import short_end
from plsync.journal.tree import Run

__all__ = ["dropping_content", "tree_lines"]

_WIDEST: Final = 40
_STARTED, _NAME, _DELIVERY, _TOOK, _SUMS = "STARTED", "NAME", "DELIVERY", "TOOK", "CALLS AND TOOLS"
# The room that the numbers of calls, tools and tokens get.
_LEAST_SUMS: Final = 36
_STEPS: Final = ((_NAME, 20), (_DELIVERY, 0), (_STARTED, 0), (_NAME, 12), (_TOOK, 0))


def tree_lines(trees: Iterable[Run], width: int, total: int, *, is_full: bool = False) -> Iterator[Text]:
    """A heading, then one line for each tree, no line longer than ``width``.

    Args:
        trees: the roots; at least one.
        width: the greatest length of a line.
        total: the number of records in the journal, for their short ids.
        is_full: every column and whole times, as programs want them.
    """
    rows = [_cells(tree, total, is_full=is_full) for tree in trees]
    yield from table_lines(rows, width, _SUMS, _LEAST_SUMS, () if is_full else _STEPS)


def dropping_content(trees: Iterable[Run]) -> Iterator[Run]:
    """The trees. The content of each is dropped when the next one is read."""
    for tree in trees:
        yield tree
        # A run and its parent refer to each other, so they stay in memory until a garbage collection.
        for run in tree.walk():
            run.record.drop_content()


def _cells(tree: Run, total: int, *, is_full: bool) -> dict[str, Text]:
    return {
        "ID": Text(short_end(tree.id, total), style="yellow"),
        _STARTED: short_time(tree.started_at, is_full=is_full),
        _NAME: one_line(tree.name or tree.kind, _WIDEST),
        "RESULT": humanize.result(tree.record),
        _DELIVERY: humanize.delivery(tree.record),
        _TOOK: Text(humanize.duration(tree.duration_ns)),
        _SUMS: Text(sums(tree)),
    }
