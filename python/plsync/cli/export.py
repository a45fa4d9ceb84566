"""``plsync export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from plsync.cli import completion, export_lake, export_page, export_recording, export_spans, options
from plsync.cli.usage_errors import wrong_usage
from plsync.journal.filters import Filters

__all__ = ["export"]


@options.filtered
def export(
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID",
            autocompletion=completion.ids,
            help="Only these records, in this order; ids as for `plsync show`.",
        ),
    ] = None,
    *,
    recording: Annotated[
        Path | None,
        typer.Option("--recording", metavar="FILE", readable=False, help="The recording to write, a .jsonl file."),
    ] = None,
    append: Annotated[bool, typer.Option("--append", help="Add to an existing recording.")] = False,
    parquet: Annotated[
        Path | None,
        typer.Option(
            "--parquet", metavar="DIR", readable=False, help="The lake to write: Parquet files, a directory a day."
        ),
    ] = None,
    otlp: Annotated[
        str | None,
        typer.Option(
            "--otlp",
            metavar="URL",
            help="The collector that takes spans by OTLP; env for OTEL_EXPORTER_OTLP_ENDPOINT; or a FILE.jsonl.",
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            readable=False,
            help="The page to write: a file for a browser, without a network.",
        ),
    ] = None,
    since_last: Annotated[
        bool,
        typer.Option("--since-last", help="Only new spans, and files of the lake whose records changed since then."),
    ] = False,
    no_content: Annotated[
        bool, typer.Option("--no-content", help="Leave out messages, tools and error messages; not with a recording.")
    ] = False,
    hide_content: Annotated[
        bool, typer.Option("--hide-content", help="The same as --no-content, in the words of `plsync ui`.")
    ] = False,
    redact: Annotated[
        str | None,
        options.redact_option("A function that receives each row, and returns the row to write, or None."),
    ] = None,
    filters: Filters,
    everything: Annotated[
        bool, typer.Option("--all", help="All records of the journal; excludes filters, ids and -n.")
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option("-n", "--limit", metavar="N", parser=options.parse_limit, help="Only the newest N records."),
    ] = None,
    json: options.Json = False,
    journal: options.Journal = None,
) -> None:
    """Write records to a recording, to Parquet files, to a collector, or to a page.

    A recording turns a failure in the field into a test. It has the oldest
    calls first, without records whose request or answer is incomplete; without
    a call the command exits with 1. A lake holds all records, in one directory
    a day; --since and --until choose whole days in UTC. A collector receives
    spans; the command exits with 1 if it rejects some. A page is one file for
    a browser, newest call first. With --json: the numbers of the report.

    Examples:
        plsync export --recording from-the-field.jsonl --tag langchain --since 2w
        plsync export --parquet lake --since-last
        plsync export --otlp http://localhost:4318 --since-last
        plsync export --html review.html --result error
    """
    no_content = no_content or hide_content
    chosen = [target for target in (recording, parquet, otlp, page) if target is not None]
    if not chosen:
        raise wrong_usage("--recording", "needs a value, FILE; or choose --parquet DIR, --otlp URL or --html FILE")
    if len(chosen) > 1:
        raise typer.BadParameter("--recording, --parquet, --otlp and --html exclude each other; choose one of them")
    if ids and (filters or limit is not None):
        raise typer.BadParameter("ids and filters exclude each other; pass one of them")
    if everything and (ids or filters or limit is not None):
        raise typer.BadParameter("--all excludes ids, filters and -n; leave out one of them")
    if recording is not None:
        _refuse("--recording", {"--since-last": since_last, "--no-content": no_content, "--redact": redact})
        export_recording.export(recording, ids, filters, limit, append=append, json=json, journal=journal)
    elif parquet is not None:
        _refuse("--parquet", {"ID": ids, "--limit": limit is not None, "--append": append})
        lake = export_lake.Lake(parquet, since_last=since_last, content=not no_content, redact=redact)
        export_lake.export(lake, filters, json=json, journal=journal)
    elif page is not None:
        _refuse("--html", {"--since-last": since_last, "--append": append, "--redact": redact})
        export_page.export(page, ids, filters, limit, content=not no_content, json=json, journal=journal)
    elif otlp is not None:
        _refuse("--otlp", {"ID": ids, "--limit": limit is not None})
        spans = export_spans.Spans(otlp, since_last=since_last, append=append, content=not no_content, redact=redact)
        export_spans.export(spans, filters, json=json, journal=journal)


def _refuse(kind: str, given: dict[str, Any]) -> None:
    for name, value in given.items():
        if value:
            raise typer.BadParameter(f"{kind} and {name} exclude each other; leave out one of them")
