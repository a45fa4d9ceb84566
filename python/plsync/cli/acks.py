"""``plsync acks``."""

from __future__ import annotations

import math
from typing import Annotated

import typer

from plsync.cli import humanize, options
from plsync.cli.output import print_json, print_line
from plsync.cli.usage_errors import bad_value
from plsync.journal.acks import is_cursor
from plsync.journal.journal import Journal

__all__ = ["acks"]


def parse_cursor(value: str) -> str:
    """A cursor, of this journal or another.

    Raises:
        BadParameter: no cursor has this form.
    """
    if not is_cursor(value):
        raise bad_value(value, "choose a cursor, as `plsync acks` prints it")
    return value


def acks(
    *,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="CURSOR", parser=parse_cursor, help="Only acks after the ack with this cursor."
        ),
    ] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Print new acks until interrupted.")] = False,
    limit: Annotated[
        int | None, typer.Option("-n", "--limit", parser=options.number(0), metavar="N", help="Show at most N.")
    ] = None,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """List PromptLayer's request ids in the order of arrival, each with its record and a cursor for --since.

    Examples:
        plsync acks
        plsync acks -f --json
    """
    with Journal.open(journal) as opened:
        try:
            found = opened.acks(since, limit=limit, wait=math.inf if follow else 0.0)
        except ValueError as error:
            raise typer.BadParameter(f"{since}: {error}", param_hint="--since") from None
        try:
            for ack in found:
                if json:
                    print_json(ack.as_dict())
                else:
                    line = f"{humanize.local_time(ack.acked_at)}  #{ack.request_id}  {ack.record_id}  {ack.cursor}"
                    print_line(line)
        except KeyboardInterrupt:
            return
