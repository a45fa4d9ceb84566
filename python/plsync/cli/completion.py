"""The values that a shell offers for an option or argument after Tab."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path
from typing import Any, Final

import typer

from plsync.cli.output import one_line
from plsync.errors import PlsyncError
from plsync.journal.display.message_text import preview
from plsync.journal.events.facts import short_model
from plsync.journal.journal import Journal
from plsync.journal.record import Record

__all__ = ["functions", "ids", "machines", "models", "one_of", "tags", "workspaces"]

# The newest records are searched, as a user waits for the shell.
_SEARCHED: Final = 300
_MOST: Final = 40
# Shells run the output of a completion as code, and insert a value without quotes. typer escapes no backslash.
_SAFE_VALUE: Final = re.compile(r"\w[\w./:@+=,%-]*")
_UNSAFE: Final = str.maketrans("", "", "\\\"'`$")


def one_of(names: Iterable[str]) -> Callable[[str], list[str]]:
    """Offers fixed names."""
    fixed = [name.replace(" ", "-") for name in names]

    def complete(incomplete: str) -> list[str]:
        return [name for name in fixed if name.startswith(incomplete)]

    return complete


def ids(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Offers the ids of the newest records, each with its input."""
    return _found(
        ctx, incomplete, lambda journal, record: [(journal.short_id(record), one_line(preview(record), 60).plain)]
    )


def models(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Offers the models of the newest records."""
    return _found(ctx, incomplete, lambda _, record: [(short_model(record.model or ""), "")])


def tags(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Offers the tags of the newest records."""
    return _found(ctx, incomplete, lambda _, record: [(tag, "") for tag in record.tags])


def workspaces(incomplete: str) -> list[str]:
    """Offers the workspaces of the configuration file."""
    from plsync.config.file import read_config  # noqa: PLC0415 - few commands name a workspace

    try:
        config = read_config()
    except (PlsyncError, OSError):
        return []
    return [] if config is None else [name for name in config.workspaces if name.startswith(incomplete)]


def functions(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offers the functions that request ids wait for."""
    try:
        with warnings.catch_warnings(), Journal.open(_journal(ctx)) as journal:
            warnings.simplefilter("ignore")
            names = [sink.sink for sink in journal.callbacks.waiting()]
    except (PlsyncError, OSError):
        return []
    return [name for name in names if name.startswith(incomplete) and _SAFE_VALUE.fullmatch(name)]


def machines(incomplete: str) -> list[str]:
    """Offers the names of trusted machines."""
    from plsync.bundle.keys import Keys  # noqa: PLC0415 - few completions need it

    try:
        return sorted({trusted.card.name for trusted in Keys().trusted() if trusted.card.name.startswith(incomplete)})
    except (PlsyncError, OSError):
        return []


def _found(
    ctx: Any, incomplete: str, values: Callable[[Journal, Record], list[tuple[str, str]]]
) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    # A message would stand between the words that the user types.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Journal.open(_journal(ctx)) as journal:
                for record in islice(journal.records(limit=_SEARCHED), _SEARCHED):
                    found |= {value: text for value, text in values(journal, record) if value.startswith(incomplete)}
                    if len(found) >= _MOST:
                        break
        except (PlsyncError, OSError):
            return []
    return [(value, text.translate(_UNSAFE)) for value, text in found.items() if _SAFE_VALUE.fullmatch(value)]


def _journal(ctx: Any) -> Path | None:
    """The journal that the finished words of the command line name.

    Raises:
        PlsyncError: they name a workspace, and the configuration file is wrong.
    """
    while ctx is not None:
        if (named := ctx.params.get("journal")) is not None:
            return Path(named)
        if (workspace := ctx.params.get("workspace")) is not None:
            from plsync.config.workspaces import journal_of  # noqa: PLC0415 - few commands name a workspace

            return journal_of(workspace)
        ctx = ctx.parent
    return None
