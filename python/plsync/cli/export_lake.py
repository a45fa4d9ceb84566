"""``plsync export --parquet``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plsync.cli import humanize
from plsync.cli.export_progress import progress
from plsync.cli.output import print_json, print_line, print_note
from plsync.cli.signals import stoppable
from plsync.journal.filters import Filters
from plsync.journal.journal import Journal

if TYPE_CHECKING:
    from plsync.lake.export import LakeReport

__all__ = ["Lake", "export"]


@dataclass(frozen=True, slots=True)
class Lake:
    """The lake to write, and its options."""

    directory: Path
    since_last: bool
    content: bool
    redact: str | None


def export(lake: Lake, filters: Filters, *, json: bool, journal: Path | None) -> None:
    """Write the chosen records to a lake, and print the report."""
    note = f"every file in {lake.directory} is whole: --since-last writes the other days"
    with stoppable(note):
        from plsync.callbacks.resolve import import_named  # noqa: PLC0415 - few exports need it
        from plsync.lake.export import export as export_records  # noqa: PLC0415 - other commands do not need it

        redact: Any = None if lake.redact is None else import_named(lake.redact)
        with Journal.open(journal) as opened, progress() as on_progress:
            report = export_records(
                opened,
                lake.directory,
                filters=filters,
                content=lake.content,
                redact=redact,
                redact_name=lake.redact,
                since_last=lake.since_last,
                on_progress=on_progress,
            )
    if json:
        print_json(report.as_dict())
    else:
        _print(report)


def _print(report: LakeReport) -> None:
    files, records = humanize.count(report.files, "file"), humanize.count(report.records, "record")
    unchanged = f"; {humanize.count(report.unchanged, 'file')} unchanged" if report.unchanged else ""
    removed = f"; {humanize.count(report.removed, 'file')} without records removed" if report.removed else ""
    print_line(f"{records} in {files} ({humanize.size(report.bytes)}) written to {report.lake}{unchanged}{removed}")
    if report.left_out:
        print_note(f"{humanize.count(report.left_out, 'record')} left out by the redact hook")
