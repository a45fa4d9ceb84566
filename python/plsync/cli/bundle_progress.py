"""The progress of an export or an import of bundles, on a terminal."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

__all__ = ["OnProgress", "progress_bar"]

OnProgress = Callable[[int, int], None]
"""Called with the number of records that are done, and the number of all."""


@contextlib.contextmanager
def progress_bar(verb: str) -> Iterator[OnProgress]:
    """A function that shows the progress as a bar, and shows nothing where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    from plsync.cli.output import stderr_console  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr_console(), transient=True) as progress:
        task = progress.add_task(verb, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)
