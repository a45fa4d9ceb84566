"""``plsync list``."""

from __future__ import annotations

from plsync.cli import options
from plsync.cli.output import print_json, print_lines, print_note, stdout_console
from plsync.cli.record_table import table_lines
from plsync.journal.filters import Filters
from plsync.journal.journal import Journal

__all__ = ["list_records"]


@options.filtered
def list_records(
    *,
    filters: Filters,
    limit: options.Limit = 20,
    oldest_first: options.OldestFirst = False,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """List records, newest first.

    A record must pass every filter. With --json: one record per line, as `plsync show --json` prints it.

    Examples:
        plsync list --since 2h
        plsync list --tag langchain --status error
        plsync list --text "capital of France" --json
    """
    with Journal.open(journal) as opened:
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
