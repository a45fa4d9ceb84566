"""Exports the records of a journal as spans."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from plsync.errors import ExportError, RecordNotFound
from plsync.genai.columns import FactsMaker
from plsync.genai.runs import finder
from plsync.journal.filters import Filters, comparable
from plsync.otlp import environment
from plsync.otlp.cursor import Cursor
from plsync.otlp.destinations import Collector, Destination, TooLarge
from plsync.otlp.json_lines import JsonLines
from plsync.otlp.spans import request, require_otlp, span

if TYPE_CHECKING:
    from opentelemetry.proto.trace.v1.trace_pb2 import Span

    from plsync._common.redaction import Redact
    from plsync.journal.journal import Journal
    from plsync.journal.record import Record

__all__ = ["SpansReport", "export"]

# An address such as localhost:4318 or grpc://localhost:4317 is no file name that a user means.
_ADDRESS: Final = re.compile(r"[\w+.-]+://|(?:[\w.-]+|\[[\da-f:]+\]):\d+(?:/|$)", re.IGNORECASE)
_BATCH_SPANS: Final = 512


@dataclass(slots=True)
class SpansReport:
    """The result of :func:`export`."""

    destination: str
    """The URL or the path."""
    spans: int = 0
    """The number of spans that the destination took."""
    rejected: int = 0
    """The number of spans that the collector rejected for good."""
    reason: str = ""
    """The reason of the last rejection."""
    warning: str = ""
    """The last remark of the collector on spans that it took."""
    running: int = 0
    """The number of calls and runs that have not ended, and have no span yet."""
    left_out: int = 0
    """The number of records without content, and of records that the redact hook left out."""

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able."""
        names = ("destination", "spans", "rejected", "running", "left_out")
        texts = {"reason": self.reason or None, "warning": self.warning or None}
        return {**{name: getattr(self, name) for name in names}, **texts}


def export(
    journal: Journal,
    destination: str,
    *,
    filters: Filters | None = None,
    content: bool = True,
    redact: Redact | None = None,
    redact_name: str | None = None,
    since_last: bool = False,
    append: bool = False,
    on_progress: Callable[[int], None] | None = None,
) -> SpansReport:
    """Export records as spans, in the order of ingest. At least once: a repeated span has the same ids.

    >>> from plsync import Journal
    >>> from plsync.otlp.export import export
    >>> with Journal.open() as journal:
    ...     report = export(journal, "spans.jsonl", since_last=True)

    Args:
        journal: the journal.
        destination: the URL of a collector, or the path of a file for OTLP JSON lines. ``env`` is the collector that
            ``OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`` or ``OTEL_EXPORTER_OTLP_ENDPOINT`` names.
        filters: the filters of :meth:`plsync.Journal.records`.
        content: whether to export messages, tools and error messages.
        redact: a hook that receives the facts of each record by column, and returns the facts to export, or None.
        redact_name: the name of the hook, which is part of the cursor's key.
        since_last: export only records that the last export to this destination did not have.
        append: add to a file that exists.
        on_progress: receives the number of records that were read, now and then.

    Raises:
        ExportError: OpenTelemetry's package is missing, the destination cannot be reached or written, or it refused the
            spans. With ``since_last`` the next export continues behind the last accepted message.
        ValueError, TypeError: a filter is wrong.
    """
    require_otlp()
    collector = None
    if environment.is_collector(destination):
        collector = Collector(environment.endpoint() if destination == environment.ENVIRONMENT else destination)
    elif not destination or _ADDRESS.match(destination):
        raise ExportError(
            f"{destination or repr('')} is neither a URL nor a file; nothing was exported: choose a URL such as "
            "http://localhost:4318, or a FILE.jsonl"
        )
    chosen: Any = dict(filters or {})
    name = os.path.abspath(destination) if collector is None else collector.name
    # A cursor already means a time: `--since 3d` of two days is the same choice.
    choice = {name: value for name, value in chosen.items() if name not in ("since", "until")}
    options = {"filters": comparable(choice), "content": content, "redact": redact_name}
    url_path = "" if collector is None else collector.url.path
    cursor = Cursor.load(journal.path, name, options, url_path=url_path) if since_last else None
    target: Destination = collector or JsonLines(Path(name), append=append or since_last)
    maker = FactsMaker(journal.id, content=content, redact=redact, find=finder(journal))
    task = _Export(journal, target, maker, cursor, on_progress or (lambda _: None))
    try:
        task.run(_records(journal, chosen, cursor))
        target.close()
    except BaseException:
        if target.abandon() and cursor is not None:
            with contextlib.suppress(ExportError):
                cursor.save()
        raise
    if cursor is not None:
        cursor.save()
    return task.report


def _records(journal: Journal, filters: Any, cursor: Cursor | None) -> Iterator[Record]:
    if cursor is not None:
        for record_id in list(cursor.running):
            try:
                yield journal.get(record_id)
            except RecordNotFound:
                cursor.running.remove(record_id)
    yield from journal.ingested(0 if cursor is None else cursor.seq, **{"runs": True, **filters})


class _Export:
    def __init__(
        self,
        journal: Journal,
        target: Destination,
        maker: FactsMaker,
        cursor: Cursor | None,
        on_progress: Callable[[int], None],
    ) -> None:
        self.report = SpansReport(target.name)
        self._journal_id = journal.id
        self._resource = environment.resource()
        self._target = target
        self._maker = maker
        self._cursor = cursor
        self._on_progress = on_progress
        self._spans: list[Span] = []
        self._bytes = 0
        self._seq = 0 if cursor is None else cursor.seq
        self._running = set() if cursor is None else set(cursor.running)

    def run(self, records: Iterator[Record]) -> None:
        for number, record in enumerate(records, 1):
            self._add(record)
            self._seq = max(self._seq, record.seq)
            if self._bytes >= self._target.batch_bytes or len(self._spans) >= _BATCH_SPANS:
                self._send()
                self._on_progress(number)
        self._send()
        self.report.running = len(self._running)

    def _add(self, record: Record) -> None:
        if record.stored_end() == "none":
            self._running.add(record.id)
            return
        self._running.discard(record.id)
        facts = self._maker.facts(record)
        # A span without the call or the run itself would only be noise.
        if facts is None or facts["kind"] is None:
            self.report.left_out += 1
            return
        made = span(facts)
        self._spans.append(made)
        self._bytes += made.ByteSize()

    def _send(self) -> None:
        spans, self._spans, self._bytes = self._spans, [], 0
        if spans:
            self._send_some(spans)
        is_safe = self._target.settle()
        if self._cursor is not None:
            # In this order: Ctrl-C in between repeats spans, and loses none.
            self._cursor.running = sorted(self._running)
            self._cursor.seq = self._seq
            if is_safe:
                self._cursor.save()

    def _send_some(self, spans: list[Span]) -> None:
        """Send spans in one message, or in smaller ones if the destination refuses the size."""
        try:
            rejected, reason = self._target.send(request(spans, self._journal_id, self._resource))
        except TooLarge:
            if len(spans) == 1:
                self.report.rejected += 1
                self.report.reason = "the span is larger than the collector takes"
                return
            self._send_some(spans[: len(spans) // 2])
            self._send_some(spans[len(spans) // 2 :])
            return
        self.report.rejected += rejected
        self.report.spans += len(spans) - rejected
        if rejected:
            self.report.reason = reason
        elif reason:
            self.report.warning = reason
