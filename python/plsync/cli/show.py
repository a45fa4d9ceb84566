"""``plsync show``."""

from __future__ import annotations

from typing import Annotated

import typer

from plsync.cli import options
from plsync.cli.output import print_json, print_lines, stdout_console
from plsync.cli.record_page import record_page
from plsync.journal.journal import Journal

__all__ = ["show"]


def show(
    id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="A record id or its first digits as in `plsync list`; a run id; a request id."
        ),
    ],
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Show one record in full: conversation, answer, state, and follow-ups.

    With --json: one object, described in docs/guide/cli.md.

    Examples:
        plsync show 01a22867
        plsync show 4711 --json
    """
    with Journal.open(journal) as opened:
        record = opened.get(id)
        followups = opened.followups.history(record.id)
        if json:
            print_json(record.as_dict() | {"followups": [followup.as_dict() for followup in followups]})
        else:
            print_lines(stdout_console(), record_page(record, followups))
