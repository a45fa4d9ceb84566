"""``plsync usage``."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Annotated, Final, cast

import typer
from rich.console import Console
from rich.text import Text

from plsync.cli import completion, humanize, options
from plsync.cli.nothing_found import nothing_found
from plsync.cli.output import is_for_program, one_line, print_json, print_lines, print_note, stdout_console
from plsync.cli.usage_errors import bad_value
from plsync.journal.digests import DigestProgress
from plsync.journal.filters import Filters
from plsync.journal.journal import Journal
from plsync.journal.usage import GROUPINGS, Grouping, GroupUsage, UsageReport

__all__ = ["usage"]

_HEADINGS = ("CALLS", "ERRORS", "TOKENS IN", "TOKENS OUT", "P50", "P95")
_GAP: Final = "  "
_LEAST_NAME: Final = 12
# Seconds before a terminal shows the progress.
_QUIET: Final = 0.5
# The columns that a narrow terminal drops for the names, in this order: OUT, IN, P50, P95, ERRORS.
_DROPPED_FIRST: Final = (4, 3, 5, 6, 2)


def parse_grouping(value: str) -> str:
    """The kind of the groups.

    Raises:
        BadParameter: there is no such kind.
    """
    if value not in GROUPINGS:
        raise bad_value(value, f"choose from {', '.join(GROUPINGS)}")
    return value


_BY = typer.Option(
    "--by",
    metavar="KIND",
    autocompletion=completion.one_of(GROUPINGS),
    parser=parse_grouping,
    help=f"Group the calls by {', '.join(GROUPINGS)}.",
)
_GROUPS = typer.Option(
    "-n", "--limit", metavar="N", parser=options.parse_limit, help="Show at most N groups; 0 or all: all of them."
)


@options.filtered
def usage(
    *,
    by: Annotated[str, _BY] = "model",
    filters: Filters,
    limit: Annotated[int | None, _GROUPS] = 50,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Sum up calls, errors, tokens and durations, by model, day, hour, tag or thread.

    The filters choose the calls. With --json: one object with all groups.

    Examples:
        plsync usage --since monday
        plsync usage --by day --model 'gpt-4*'
        plsync usage --by tag --json
    """
    with Journal.open(journal) as opened:
        with _progress() as on_progress:
            report = opened.usage(cast("Grouping", by), on_progress=on_progress, **filters)
        note = "" if report.total.calls or json else nothing_found(opened, filters)
    if json:
        print_json(report.as_dict())
    elif report.total.calls:
        console = stdout_console()
        print_lines(console, _lines(report, limit, console))
        if limit is not None and len(report.groups) > limit:
            print_note(f"{limit:,} of {len(report.groups):,} {by}s shown: -n all shows all")
        if missing := report.total.without_tokens:
            print_note(f"{missing:,} of {humanize.count(report.total.calls, 'call')} had no token counts")
    else:
        print_note(note)


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[DigestProgress], None] | None]:
    """A function that shows on a terminal how many records have a digest."""
    if not sys.stderr.isatty():
        yield None
        return

    began = time.monotonic()
    is_shown = False

    def show(progress: DigestProgress) -> None:
        nonlocal is_shown
        if time.monotonic() - began > _QUIET:
            is_shown = True
            print(f"\rcounted {progress.fraction:4.0%} of the calls", end="", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        if is_shown:
            print("\r" + " " * 30 + "\r", end="", file=sys.stderr, flush=True)


def _lines(report: UsageReport, limit: int | None, console: Console) -> Iterator[Text]:
    left_out = 0 if limit is None or report.by not in ("day", "hour") else max(0, len(report.groups) - limit)
    # The newest days and hours come last.
    shown = islice(report.groups.items(), left_out, None if limit is None else left_out + limit)
    rows = [_row(name, usage) for name, usage in shown]
    rows.append(_row("total", report.total))
    table = [[Text(name) for name in (report.by.upper(), *_HEADINGS)], *rows]
    width = console.width
    widths = [max(row[column].cell_len for row in table) for column in range(len(table[0]))]
    columns = list(range(len(widths)))
    if not is_for_program(console):
        columns = [column for column in columns if any(row[column] for row in rows)]
        for column in _DROPPED_FIRST:
            if sum(widths[kept] for kept in columns[1:]) + len(_GAP) * (len(columns) - 1) + _LEAST_NAME <= width:
                break
            columns = [kept for kept in columns if kept != column]
    others = sum(widths[column] for column in columns[1:]) + len(_GAP) * (len(columns) - 1)
    widths[0] = max(1, min(widths[0], max(_LEAST_NAME, width - others)))
    for number, row in enumerate(table):
        row[0].truncate(widths[0], overflow="ellipsis", pad=True)
        for column in columns[1:]:
            row[column].pad_left(widths[column] - row[column].cell_len)
        line = Text(_GAP).join(row[column] for column in columns)
        if number in (0, len(table) - 1):
            line.stylize("bold")
        line.truncate(width, overflow="ellipsis")
        yield line


def _row(name: str, usage: GroupUsage) -> list[Text]:
    has_tokens = usage.calls > usage.without_tokens + usage.cached
    return [
        one_line(name),
        Text(f"{usage.calls:,}"),
        Text(f"{usage.errors:,}", style="red" if usage.errors else ""),
        Text(f"{usage.input_tokens:,}" if has_tokens else ""),
        Text(f"{usage.output_tokens:,}" if has_tokens else ""),
        Text(humanize.duration(usage.durations.percentile(50))),
        Text(humanize.duration(usage.durations.percentile(95))),
    ]
