"""``plsync forget``."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer
from rich.text import Text

from plsync._common.files import create_new
from plsync.cli import completion, humanize, options
from plsync.cli.nothing_found import nothing_found
from plsync.cli.output import escaped, one_line, print_json, print_lines, print_note, stdout_console
from plsync.errors import PlsyncError
from plsync.journal.display.message_text import preview
from plsync.journal.events.facts import short_model
from plsync.journal.filters import Filters
from plsync.journal.forget import ForgetReceipt, ForgottenRecord
from plsync.journal.journal import Journal

__all__ = ["forget"]

# More records than this are removed only after a confirmation, and so are all records of a filter.
_MOST_UNCONFIRMED: Final = 10
_MOST_SHOWN: Final = 20
_WIDEST_MODEL: Final = 24
_WIDEST_INPUT: Final = 60
_AT_PROMPTLAYER: Final = {"no": "never sent", "unknown": "sent without a clear response yet"}

_IDS = typer.Argument(
    metavar="ID",
    autocompletion=completion.ids,
    help="Records; ids as for `plsync show`.",
    show_default=False,
)
_YES = typer.Option("--yes", "-y", help="Remove without a confirmation.")
_DRY_RUN = typer.Option("--dry-run", help="Show the records, and remove nothing.")
_RECEIPT = typer.Option(
    "--receipt", metavar="FILE", readable=False, help="Write the receipt to a new file, as JSON.", show_default=False
)


@options.filtered
def forget(
    ids: Annotated[list[str] | None, _IDS] = None,
    *,
    filters: Filters,
    dry_run: Annotated[bool, _DRY_RUN] = False,
    yes: Annotated[bool, _YES] = False,
    receipt: Annotated[Path | None, _RECEIPT] = None,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Remove the content of records for good, and print a receipt.

    Ids, states and request ids stay. A call of an agent is forgotten with the
    whole run. Exits with 3 if a file still has content.

    Examples:
        plsync forget 0199a3b2
        plsync forget --metadata user_id=17 --dry-run
        plsync forget --metadata user_id=17 --yes --receipt receipt.json
    """
    if bool(ids) == bool(filters):
        raise typer.BadParameter("pass ids or filters, and not both")
    with Journal.open(journal) as opened:
        found = opened.forget(*ids or [], dry_run=True, **filters)
        if not dry_run:
            if found.records and (not ids or len(found.records) > _MOST_UNCONFIRMED) and not yes:
                _confirm(opened, found)
            # The receipt must not fail after the removal.
            descriptor = None if receipt is None else _create(receipt)
            # The records that were shown: later ones may match the filters by now.
            chosen = ids or [record.record_id for record in found.records]
            found = opened.forget(*chosen) if chosen else opened.forget(**filters)
            if descriptor is not None:
                with open(descriptor, "wb") as file:
                    file.write(orjson.dumps(found.as_dict(), option=orjson.OPT_INDENT_2) + b"\n")
        if json:
            print_json(found.as_dict())
        elif filters and receipt is None and not (found.records or found.waiting or found.before != found.after):
            print_note(nothing_found(opened, filters))
        else:
            print_lines(stdout_console(), _lines(opened, found, receipt))
    if found.waiting:
        raise typer.Exit(3)


def _confirm(journal: Journal, found: ForgetReceipt) -> None:
    number = humanize.count(len(found.records), "record")
    if not sys.stdin.isatty():
        raise typer.BadParameter(f"{number} would lose their content for good: pass --yes, or --dry-run to see them")
    print_lines(stdout_console(), _records(found.records, journal))
    typer.confirm(f"Remove the content of {number} for good?", abort=True, err=True)


def _create(path: Path) -> int:
    try:
        return create_new(path)
    except FileExistsError:
        raise PlsyncError(f"{path} exists; nothing was removed: choose another file for the receipt") from None
    except OSError as error:
        reason = error.strerror or os.strerror(error.errno or 0)
        raise PlsyncError(f"cannot write {path}: {reason}; nothing was removed: choose another file") from None


def _lines(journal: Journal, found: ForgetReceipt, file: Path | None) -> Iterator[Text]:
    yield from _records(found.records, journal if found.dry_run else None)
    if found.dry_run:
        number = humanize.count(len(found.records), "record")
        yield escaped(f"{number} would lose their content; nothing was removed.")
        return
    new = [record for record in found.records if not record.was_forgotten]
    parts = [
        humanize.count(sum(getattr(record, name) for record in found.records) + more, noun)
        for name, more, noun in (
            ("events", 0, "event"),
            ("labels", 0, "label"),
            ("followups", found.followups, "follow-up"),
            ("callbacks", 0, "callback"),
        )
    ]
    yield escaped(f"Forgotten: {humanize.count(len(new), 'record')} ({', '.join(parts)}).")
    if found.frames:
        yield escaped(f"Overwritten in the spool: {humanize.count(found.frames, 'event')}.")
    if found.before != found.after:
        sizes = f"{humanize.size(found.before)} before, {humanize.size(found.after)} now"
        yield escaped(f"The store was rewritten without free pages: {sizes}.")
    for waits in found.waiting:
        yield escaped(f"Waits: {waits}", "yellow")
    for limit in found.limits:
        yield escaped(f"Not covered: {limit}")
    if file is not None:
        yield escaped(f"Receipt: {file}")


def _records(records: list[ForgottenRecord], journal: Journal | None) -> Iterator[Text]:
    """A line for each record. With a journal it has the record's time, model and input: nothing was removed yet."""
    for record in records[:_MOST_SHOWN]:
        again = ", forgotten before" if record.was_forgotten else ""
        place = record.server or "PromptLayer"
        # A run that is not a call has no request id.
        known = "a span" if record.request_id is None else f"request {record.request_id}"
        sent = _AT_PROMPTLAYER.get(record.at_promptlayer, f"{place} has it as {known}")
        line = escaped(f"{record.record_id}  {sent}{again}")
        if journal is not None:
            found = journal.get(record.record_id)
            line.append(f"  {humanize.local_time(found.started_at)}  ")
            line.append(one_line(short_model(found.model or found.name or ""), _WIDEST_MODEL)).append("  ")
            line.append(one_line(preview(found), _WIDEST_INPUT, keep_end=True))
            line.rstrip()
        yield line
    if len(records) > _MOST_SHOWN:
        yield escaped(f"and {humanize.count(len(records) - _MOST_SHOWN, 'record')} more; --json lists them")
