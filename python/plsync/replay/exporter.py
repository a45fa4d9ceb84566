"""From a journal into a recording: a failure in the field becomes a test. Needs nothing of LangChain."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plsync.errors import ReplayError
from plsync.replay.matching import Matcher
from plsync.replay.redaction import Redact, safe_answer
from plsync.replay.request.request import Request
from plsync.replay.response.packing import pack
from plsync.replay.storage.blobs import Unwritten
from plsync.replay.storage.file import RecordingFile, line_of
from plsync.replay.storage.journal_source import call_of

if TYPE_CHECKING:
    from plsync.journal.record import Record

__all__ = ["ExportReport", "export"]


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What went into a recording."""

    recording: Path
    calls: int
    """Calls that were written."""
    skipped: int
    """Records whose request or answer is not known in full: unfinished, cancelled, pruned, or with no content kept."""


def export(
    records: Iterable[Record],
    path: str | os.PathLike[str],
    *,
    append: bool = False,
    redact: Redact | None = None,
) -> ExportReport:
    """Write records of a journal into a recording, as calls that can be served.

    >>> from plsync import Journal
    >>> from plsync.replay import export
    >>> with Journal.open() as journal:
    ...     report = export(journal.records(tag="langchain", oldest_first=True), "./from-the-field.jsonl")

    Args:
        records: in the order in which the recording is to have them.
        path: the recording's file.
        append: add to a recording that exists.
        redact: as of ``Recording``.

    Raises:
        ReplayError: the file exists and ``append`` is false, or it cannot be written. Nothing was changed.
    """
    file = RecordingFile(path)
    if file.exists() and not append:
        raise ReplayError(f"{file.path} exists and was left as it is: choose another name, or append to it")
    blobs = Unwritten()
    made = [_line(record, blobs, redact) for record in records]
    lines = [line for line in made if line is not None]
    if lines:
        with file.rewriting() as (before, replace):
            replace([*before, *lines], blobs)
    return ExportReport(file.path, len(lines), len(made) - len(lines))


def _line(record: Record, blobs: Unwritten, redact: Redact | None) -> bytes | None:
    call = call_of(record)
    if call is None:
        return None
    data = call.data
    asked: dict[str, Any] | None = data["request"]
    answer: dict[str, Any] | None = safe_answer(pack(data["answer"], blobs.keep))
    if redact is not None:
        asked, answer = redact(asked or {}), redact(answer or {})
    if asked is None or answer is None:
        return None
    key = Matcher().key(Request(call.request.kind, asked))
    return line_of({"key": key, **data, "request": asked, "answer": answer})
