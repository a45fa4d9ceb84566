"""``plsync export --html``."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import typer

from plsync.cli import humanize
from plsync.cli.output import exit_with_error, print_json, print_line, print_note
from plsync.cli.signals import stoppable
from plsync.journal.filters import Filters, comparable
from plsync.journal.journal import Journal
from plsync.journal.record import Record

__all__ = ["export"]


def export(
    page: Path,
    ids: list[str] | None,
    filters: Filters,
    limit: int | None,
    *,
    content: bool,
    json: bool,
    journal: Path | None,
) -> None:
    """Write the chosen records to a page, and print the report."""
    try:
        from plsync.ui.page import LARGE, write_page  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        if error.name not in ("starlette", "uvicorn"):
            raise
        exit_with_error("the page needs two packages: pip install 'plsync[ui]'; nothing was written")
    with stoppable("nothing was written"), Journal.open(journal) as opened:
        chosen: Iterator[Record] = map(opened.get, ids) if ids else opened.records(limit=limit, **filters)
        first = next(chosen, None)
        if first is None:
            print_note("no record matches; nothing was written: `plsync list` shows all records")
            raise typer.Exit(1)
        query = ", ".join(f"{name} {_text(value)}" for name, value in comparable(filters).items())
        report = write_page(opened, chain([first], chosen), page, query=query, hide=not content)
    if json:
        print_json(report.as_dict())
    else:
        included = "with content" if content else "without content"
        size = f"{humanize.count(report.calls, 'call')} ({humanize.size(report.bytes)}, {included})"
        print_line(f"{size} written to {report.page}: open it in a browser")
    if report.bytes > LARGE:
        print_note(
            f"browsers open a page of {humanize.size(report.bytes)} slowly: choose fewer calls with -n or filters"
        )


def _text(value: Any) -> str:
    return " or ".join(value) if isinstance(value, list) else str(value)
