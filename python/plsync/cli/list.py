"""``plsync list``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

import typer

from plsync.cli import options
from plsync.cli.followup_table import FOLLOW_UP_STATES, find_follow_ups, follow_up_lines
from plsync.cli.output import print_json, print_lines, print_note, stdout_console
from plsync.cli.record_table import table_lines
from plsync.journal.filters import Filters
from plsync.journal.followups import FollowUp
from plsync.journal.journal import Journal

__all__ = ["list_records"]


def parse_follow_ups(value: str) -> str:
    """The state of follow-ups.

    Raises:
        BadParameter: there is no such state.
    """
    if value not in FOLLOW_UP_STATES:
        raise typer.BadParameter(f"{value!r} is unknown; use one of {', '.join(FOLLOW_UP_STATES)}")
    return value


_FOLLOW_UPS = typer.Option(
    "--follow-ups",
    metavar="STATE",
    parser=parse_follow_ups,
    help=f"List follow-ups instead, the newest record first: {', '.join(FOLLOW_UP_STATES)}.",
)


@options.filtered
def list_records(
    *,
    filters: Filters,
    follow_ups: Annotated[str | None, _FOLLOW_UPS] = None,
    limit: options.Limit = 20,
    oldest_first: options.OldestFirst = False,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """List records, newest first.

    A record must pass every filter. With --json: one record per line, as
    `plsync show --json` prints it. With --follow-ups: the scores, metadata,
    prompt links and groups of these records.

    Examples:
        plsync list --since 2h
        plsync list --tag langchain --status error
        plsync list --text "capital of France" --json
    """
    with Journal.open(journal) as opened:
        if follow_ups is not None:
            if oldest_first:
                raise typer.BadParameter("--follow-ups lists the newest first: leave out --oldest-first")
            _list_follow_ups(find_follow_ups(opened, follow_ups, filters, limit), follow_ups, limit, json=json)
            return
        page = opened.records(limit=limit, oldest_first=oldest_first, **filters)
        if json:
            for record in page:
                print_json(record.as_dict())
            return
        records = list(page)
        if records:
            console = stdout_console()
            print_lines(console, table_lines(opened, records, console.width))
        elif filters:
            print_note("no record matches; `plsync list` without filters shows the newest records")
        else:
            print_note(f"the journal {opened.path} is empty; attach PromptLayerCallbackHandler to a model and call it")
        if records and len(records) == limit:
            print_note(f"{limit} records shown; there may be more: -n shows more, --until shows older records")


def _list_follow_ups(followups: Iterable[FollowUp], word: str, limit: int, *, json: bool) -> None:
    if json:
        for followup in followups:
            print_json(followup.as_dict())
        return
    if not (found := list(followups)):
        print_note(f"no follow-up is {word}" if word != "sent" else "no sent follow-up is kept")
        return
    console = stdout_console()
    print_lines(console, follow_up_lines(found, console.width))
    if len(found) == limit:
        print_note(f"{limit} follow-ups shown; there may be more: -n shows more")
