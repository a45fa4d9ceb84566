"""``plsync export --otlp``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from plsync.cli import humanize
from plsync.cli.export_progress import progress
from plsync.cli.output import print_json, print_line, print_note
from plsync.journal.filters import Filters
from plsync.journal.journal import Journal

if TYPE_CHECKING:
    from plsync.otlp.export import SpansReport

__all__ = ["Spans", "export"]


@dataclass(frozen=True, slots=True)
class Spans:
    """The destination of spans, and its options."""

    destination: str
    since_last: bool
    append: bool
    content: bool
    redact: str | None


def export(spans: Spans, filters: Filters, *, json: bool, journal: Path | None) -> None:
    """Export the chosen records as spans, and print the report."""
    from plsync.callbacks.resolve import import_named  # noqa: PLC0415 - few exports need it
    from plsync.otlp.export import export as export_records  # noqa: PLC0415 - it needs an HTTP client

    redact: Any = None if spans.redact is None else import_named(spans.redact)
    with Journal.open(journal) as opened, progress() as on_progress:
        try:
            report = export_records(
                opened,
                spans.destination,
                filters=filters,
                content=spans.content,
                redact=redact,
                redact_name=spans.redact,
                since_last=spans.since_last,
                append=spans.append,
                on_progress=on_progress,
            )
        except KeyboardInterrupt:
            print_note("plsync: stopped; the spans before are exported: --since-last continues behind them")
            raise typer.Exit(130) from None
    if json:
        print_json(report.as_dict())
    else:
        _print(report)
    if report.rejected:
        print_note(f"{humanize.count(report.rejected, 'span')} rejected: {report.reason or 'without a reason'}")
        raise typer.Exit(1)


def _print(report: SpansReport) -> None:
    running = f"; {humanize.count(report.running, 'call')} still running" if report.running else ""
    print_line(f"{humanize.count(report.spans, 'span')} exported to {report.destination}{running}")
    if report.left_out:
        print_note(f"{humanize.count(report.left_out, 'record')} left out: without content, or by the redact hook")
