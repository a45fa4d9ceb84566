"""``plsync export --otlp``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from plsync.cli import humanize
from plsync.cli.export_progress import progress
from plsync.cli.output import print_json, print_line, print_note
from plsync.cli.signals import stoppable
from plsync.journal.filters import Filters
from plsync.journal.journal import Journal
from plsync.otlp.environment import is_collector

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
    with stoppable(_way_on(spans)):
        from plsync.callbacks.resolve import import_named  # noqa: PLC0415 - few exports need it
        from plsync.otlp.export import export as export_records  # noqa: PLC0415 - it needs an HTTP client

        redact: Any = None if spans.redact is None else import_named(spans.redact)
        with Journal.open(journal) as opened, progress() as on_progress:
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
    if json:
        print_json(report.as_dict())
    else:
        _print(report)
    if report.warning:
        print_note(f"the collector took the spans, with a warning: {report.warning}")
    if report.rejected:
        print_note(f"{humanize.count(report.rejected, 'span')} rejected: {report.reason or 'without a reason'}")
        raise typer.Exit(1)


def _way_on(spans: Spans) -> str:
    if spans.since_last:
        return "the spans before are exported: the same command continues behind them"
    if is_collector(spans.destination):
        return "the spans before are exported: the same command sends them again, with the same ids"
    if spans.append:
        return f"{spans.destination} has whole lines: the same command adds its spans again, with the same ids"
    return "nothing was exported"


def _print(report: SpansReport) -> None:
    running = f"; {humanize.count(report.running, 'call')} still running" if report.running else ""
    print_line(f"{humanize.count(report.spans, 'span')} exported to {report.destination}{running}")
    if report.left_out:
        print_note(f"{humanize.count(report.left_out, 'record')} left out: without content, or by the redact hook")
