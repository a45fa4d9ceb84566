"""The records that an ambiguous id names, one per line."""

from __future__ import annotations

from typing import Final

from rich.text import Text

from plsync.cli import humanize
from plsync.cli.output import one_line, print_lines, print_note, stderr_console
from plsync.errors import AmbiguousId
from plsync.journal.display.message_text import preview
from plsync.journal.events.facts import short_model

__all__ = ["print_candidates"]

_MOST: Final = 20
_WIDEST_MODEL: Final = 24
_WIDEST_SERVER: Final = 40


def print_candidates(error: AmbiguousId) -> None:
    """Print the failure, a line for each record with its id, time, model and input, and the next step."""
    # The message lists whole ids behind the failure.
    failure = str(error).partition(":")[0]
    records = list(error.candidates.items())[:_MOST]
    print_note(f"plsync: {failure}:")
    models = [one_line(short_model(record.model or ""), _WIDEST_MODEL) for _, record in records]
    id_width = max((len(short) for short, _ in records), default=0)
    model_width = max((model.cell_len for model in models), default=0)
    # Two servers may send the same request id. Then the server distinguishes the records.
    servers = [one_line(record.server or "", _WIDEST_SERVER) for _, record in records]
    server_width = max(server.cell_len for server in servers) if len({str(server) for server in servers}) > 1 else 0
    console = stderr_console()
    for (short, record), model, server in zip(records, models, servers, strict=True):
        model.pad_right(model_width - model.cell_len)
        started = humanize.local_time(record.started_at)
        line = Text.assemble("  ", (short.ljust(id_width), "yellow"), f"  {started}  ", model, "  ")
        if server_width:
            server.pad_right(server_width - server.cell_len)
            line.append_text(server).append("  ")
        line.append(one_line(preview(record), max(20, console.width - line.cell_len), keep_end=True))
        line.rstrip()
        print_lines(console, [line])
    if len(error.candidates) > len(records):
        print_note("... and more records")
    print_note("Use one of these ids, or more digits.")
