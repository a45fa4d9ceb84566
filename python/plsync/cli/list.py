"""``plsync list``."""

from __future__ import annotations

from plsync.cli import options
from plsync.cli.console import json_line, note, out
from plsync.cli.table import lines
from plsync.journal.journal import Journal

__all__ = ["list_records"]


def list_records(
    *,
    tag: options.Tag = None,
    model: options.Model = None,
    state: options.State = None,
    status: options.Status = None,
    since: options.Since = None,
    until: options.Until = None,
    text: options.Text = None,
    limit: options.Limit = 20,
    oldest_first: options.OldestFirst = False,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """List records, newest first.

    Options of different kinds must all match. With --json: one record a line, as `plsync show --json` prints it.
    """
    filters = options.filters(tag=tag, model=model, state=state, status=status, since=since, until=until, text=text)
    with Journal.open(journal) as opened:
        page = opened.records(limit=limit, oldest_first=oldest_first, **filters)
        if json:
            for record in page:
                json_line(record.as_dict())
            return
        records = list(page)
        if records:
            console = out()
            for line in lines(opened, records, console.width):
                console.print(line, soft_wrap=True)
        elif any(filters.values()):
            note("no record matches; `plsync list` without filters shows the newest")
        else:
            note(f"nothing is recorded in {opened.path} yet; attach PromptLayerCallbackHandler to a model and call it")
        if records and len(records) == limit:
            note(f"{limit} shown; there may be more: -n shows more, --until and the other filters choose others")
