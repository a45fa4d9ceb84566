"""``plsync show``."""

from __future__ import annotations

from typing import Annotated

import typer

from plsync.cli import options
from plsync.cli.console import json_line, out
from plsync.cli.page import record_page
from plsync.journal.journal import Journal

__all__ = ["show"]


def show(
    id: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="A record id or its first digits, as `plsync list` shows them; a run id; a request id."
        ),
    ],
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Show one record whole: the conversation, what came back, and how far it has got.

    With --json: one object, described in docs/guide/cli.md.
    """
    with Journal.open(journal) as opened:
        record = opened.get(id)
        followups = opened.followups.of(record.id)
        if json:
            json_line(record.as_dict() | {"followups": [followup.as_dict() for followup in followups]})
        else:
            console = out()
            for line in record_page(record, followups):
                console.print(line, soft_wrap=True)
