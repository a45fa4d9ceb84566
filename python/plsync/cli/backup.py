"""``plsync backup``."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.text import Text

from plsync.cli import humanize, options
from plsync.cli.output import escaped, print_json, print_lines, stdout_console
from plsync.journal.journal import Journal
from plsync.journal.reports import BackupReport

__all__ = ["backup"]

_POLL: Final = 0.2
_WIDTH: Final = 30


def backup(
    target: Annotated[
        Path, typer.Argument(metavar="DST", readable=False, help="The directory of the copy: missing, or empty.")
    ],
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Write a whole copy of the journal, while programs record and send.

    The copy is checked before it gets its name. Exits with 1 if it has damage.

    Examples:
        plsync backup /backups/today
    """
    with Journal.open(journal) as opened:
        with _bar(target, opened.stats().used_bytes):
            report = opened.backup(target)
        if json:
            print_json({"journal": str(opened.path), **report.as_dict()})
        else:
            print_lines(stdout_console(), _lines(report))
    if not report.ok:
        raise typer.Exit(1)


def _lines(report: BackupReport) -> Iterator[Text]:
    for file in report.skipped:
        yield escaped(f"not copied: spool/{file.name}: it {file.reason}", "red")
    for problem in report.problems:
        yield escaped(f"damaged, as in the journal: {problem.where}: {problem.what}; intact: {problem.kept}", "red")
    records = humanize.count(report.records, "record")
    checked = "checked" if report.ok else "not whole"
    yield escaped(f"{records} in {report.backup} ({humanize.size(report.bytes)}): {checked}.")
    yield escaped("To restore it, move it to the place of the journal.")


@contextlib.contextmanager
def _bar(target: Path, total: int) -> Iterator[None]:
    """A bar on a terminal, by the size of the copy."""
    if not sys.stderr.isatty():
        yield
        return
    copy = Path(f"{os.path.abspath(target)}.partial", "lmdb", "data.mdb")
    done = threading.Event()

    def draw() -> None:
        while not done.wait(_POLL):
            with contextlib.suppress(OSError):
                part = min(1.0, copy.stat().st_size / max(total, 1))
                filled = "#" * int(part * _WIDTH)
                print(f"\r[{filled:<{_WIDTH}}] {part:4.0%}", end="", file=sys.stderr, flush=True)
        with contextlib.suppress(OSError):
            print("\r" + " " * (_WIDTH + 10) + "\r", end="", file=sys.stderr, flush=True)

    thread = threading.Thread(target=draw, name="plsync-bar", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
