"""``plsync acks``."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from typing import Annotated, Final

import typer

from plsync.cli import humanize, options
from plsync.cli.output import print_json, print_line, print_note
from plsync.cli.usage_errors import bad_value
from plsync.journal.acks import Ack, is_cursor
from plsync.journal.journal import Journal

__all__ = ["acks"]

# Without other options a terminal shows this many acks, the newest.
_SHOWN: Final = 20
_ID_WIDTH: Final = 10


def parse_cursor(value: str) -> str:
    """A cursor, of this journal or another.

    Raises:
        BadParameter: no cursor has this form.
    """
    if not is_cursor(value):
        raise bad_value(value, "choose a cursor, as `plsync acks` prints it")
    return value


def parse_limit(value: str) -> int:
    """A number of acks; a number beyond all of them from ``0`` and ``all``."""
    return options.parse_limit(value) or sys.maxsize


_LIMIT = typer.Option("-n", "--limit", parser=parse_limit, metavar="N", help="Show at most N ids; 0 or all: all.")


def acks(
    *,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="CURSOR", parser=parse_cursor, help="Only acks after the ack with this cursor."
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Print new acks until interrupted.")] = False,
    limit: Annotated[int | None, _LIMIT] = None,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """List PromptLayer's request ids in the order of arrival, each with its record and a cursor for --since.

    Examples:
        plsync acks
        plsync acks -f --json
    """
    with Journal.open(journal) as opened:
        is_whole = json or follow or since is not None or limit is not None or not sys.stdout.isatty()
        if not is_whole:
            since = _before_the_newest(opened)
        try:
            found = opened.acks(since, limit=limit, wait=math.inf if follow else 0.0)
        except ValueError as error:
            raise typer.BadParameter(f"{since}: {error}", param_hint="--since") from None
        if follow and not json and since is None and opened.ack_cursor().endswith("-0"):
            print_note(f"the journal {opened.path} has no request id yet; waiting for the first")
        try:
            any_found = _print(found, as_json=json)
        except KeyboardInterrupt:
            return
        if not any_found and not json:
            print_note(_nothing(opened, since))
        if not is_whole and not (since or "-0").endswith("-0"):
            print_note(f"the newest {_SHOWN} request ids are shown; -n all shows all")


def _nothing(journal: Journal, since: str | None) -> str:
    if since is not None and not since.endswith("-0"):
        return "no request id came after this cursor"
    return f"the journal {journal.path} has no request id yet; `plsync run` sends its records"


def _print(found: Iterable[Ack], *, as_json: bool) -> bool:
    """Print acks. Returns whether there were any."""
    is_headed = not as_json and sys.stdout.isatty()
    any_found = False
    for ack in found:
        any_found = True
        if as_json:
            print_json(ack.as_dict())
            continue
        if is_headed:
            print_line(f"{'ARRIVED':19}  {'REQUEST ID':>10}  {'RECORD':36}  CURSOR", "bold")
            is_headed = False
        number = f"#{ack.request_id}"
        arrived = humanize.local_time(ack.acked_at)
        print_line(f"{arrived}  {number:>{_ID_WIDTH if sys.stdout.isatty() else 0}}  {ack.record_id}  {ack.cursor}")
    return any_found


def _before_the_newest(journal: Journal) -> str:
    """The cursor before the newest acks that a terminal shows."""
    name, _, number = journal.ack_cursor().rpartition("-")
    return f"{name}-{max(0, int(number) - _SHOWN)}"
