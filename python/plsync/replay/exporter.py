"""Writes records of a journal into a recording, so that a failure in the field becomes a test. Needs no LangChain."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plsync.errors import ReplayError
from plsync.replay.matching import Matcher
from plsync.replay.redaction import Redact, redact_response
from plsync.replay.request.request import Request
from plsync.replay.response.packing import pack
from plsync.replay.storage.blobs import PendingBlobs
from plsync.replay.storage.file import RecordingFile, line_of
from plsync.replay.storage.journal_calls import call_of_record

if TYPE_CHECKING:
    from plsync.journal.record import Record

__all__ = ["ExportReport", "export"]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """The result of ``export``.

    >>> from pathlib import Path
    >>> ExportReport(Path("field.jsonl"), calls=2, skipped=1).calls
    2
    """

    recording: Path
    """The path of the recording."""
    calls: int
    """The number of calls that were written."""
    skipped: int
    """The number of records that are not complete: unfinished, cancelled, pruned, or recorded without content."""


def export(
    records: Iterable[Record],
    path: str | os.PathLike[str],
    *,
    append: bool = False,
    redact: Redact | None = None,
) -> ExportReport:
    """Write records of a journal into a recording, as calls that replay can serve.

    >>> from plsync import Journal
    >>> from plsync.replay import export
    >>> with Journal.open() as journal:
    ...     report = export(journal.records(tag="langchain", oldest_first=True), "./from-the-field.jsonl")

    Args:
        records: the records, in the order of the recording's lines.
        path: the path of the recording.
        append: add the calls to a recording that exists.
        redact: a hook that receives each request and each response as JSON. It returns the part that may be kept, or
            None to skip the record.

    Returns:
        The path of the recording, and the numbers of written and skipped records.

    Raises:
        ReplayError: the file exists and ``append`` is false, or the file cannot be written. Nothing was changed.
    """
    file = RecordingFile(path)
    if file.exists() and not append:
        raise ReplayError(f"{file.path} exists and was not changed: choose another path, or append to it")
    blobs = PendingBlobs()
    converted = [_line(record, blobs, redact) for record in records]
    lines = [line for line in converted if line is not None]
    if lines:
        with file.rewrite() as (earlier, replace):
            replace([*earlier, *lines], blobs)
    return ExportReport(file.path, len(lines), len(converted) - len(lines))


def _line(record: Record, blobs: PendingBlobs, redact: Redact | None) -> bytes | None:
    call = call_of_record(record)
    if call is None:
        return None
    data = call.data
    body: dict[str, Any] | None = data["request"]
    response: dict[str, Any] | None = redact_response(pack(data["answer"], blobs.add))
    if redact is not None:
        body, response = redact(body or {}), redact(response or {})
    if body is None or response is None:
        return None
    key = Matcher().key(Request(call.request.kind, body))
    return line_of({"key": key, **data, "request": body, "answer": response})
