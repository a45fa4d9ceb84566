"""A file of OTLP JSON lines."""

from __future__ import annotations

import base64
import contextlib
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from plsync._common.files import SAFE_FLAGS, rename_new, temporary_beside
from plsync._common.large_json import dumps
from plsync.errors import ExportError
from plsync.otlp.destinations import TooLarge

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

__all__ = ["JsonLines", "as_json"]

_BEGIN: Final = b'{"resourceSpans":'
# The receiver for such files in OpenTelemetry's collector reads lines of up to 1 MiB by default.
_LONGEST: Final = (1 << 20) - 1
# After a kill -9 the next export repeats at most this many bytes of lines.
_SYNCED: Final = 16 << 20


class JsonLines:
    """A file of OTLP JSON lines. Each line is a message; a line is in the file as a whole, or not at all.

    A new file appears under its name when it is whole. A line has at most 1 MiB, unless a single span is longer.

    Args:
        path: the file.
        append: add to the file, or to a new one. An export that fails leaves the lines that were settled.

    Raises:
        ExportError: the file exists and ``append`` is false, or it cannot be opened.
    """

    batch_bytes: Final = 1 << 19

    def __init__(self, path: Path, *, append: bool) -> None:
        self.name = str(path)
        self._path = path
        self._is_added_to = append
        self._is_new = not os.path.lexists(path)
        if not append and not self._is_new:
            raise self._exists()
        self._written = path if append else temporary_beside(path)
        flags = os.O_RDWR | os.O_CREAT | SAFE_FLAGS | (0 if append else os.O_EXCL)
        try:
            descriptor = os.open(self._written, flags, 0o600)
        except OSError as error:
            raise ExportError(f"{path} cannot be written ({error.strerror}); nothing was exported") from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise ExportError(f"{path} is no regular file; nothing was exported: choose another file")
        self._file = os.fdopen(descriptor, "r+b")
        found = _end_of_lines(self._file)
        if found is None:
            self._file.close()
            raise ExportError(f"{path} is no file of OTLP JSON lines, and was not changed: choose another file")
        self._end = self._settled = self._synced = found
        self._file.truncate(self._end)
        self._file.seek(self._end)

    def send(self, message: ExportTraceServiceRequest) -> tuple[int, str]:
        """Write a line.

        Raises:
            TooLarge: the line would be longer than collectors read, and has several spans.
            ExportError: the disk is full or fails.
        """
        line = dumps(as_json(message)) + b"\n"
        if len(line) > _LONGEST and _spans(message) > 1:
            raise TooLarge
        try:
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            raise self._failed(error) from error
        self._end += len(line)
        return 0, ""

    def settle(self) -> bool:
        """Keep the lines of now, also if the export fails. Returns whether they are on the disk.

        Raises:
            ExportError: the disk is full or fails.
        """
        self._settled = self._end
        if not self._is_added_to or self._end - self._synced < _SYNCED:
            return False
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise self._failed(error) from error
        self._synced = self._end
        return True

    def close(self) -> None:
        """Bring the lines safely to disk. A new file gets its name.

        Raises:
            ExportError: the disk is full or fails, or another program has made a file of that name.
        """
        try:
            os.fsync(self._file.fileno())
            self._file.close()
            if not self._is_added_to:
                rename_new(self._written, self._path)
        except FileExistsError:
            raise self._exists() from None
        except OSError as error:
            raise self._failed(error) from error

    def abandon(self) -> bool:
        """Cut off the lines that were not settled; remove a new file.

        Returns whether the settled lines are safe.
        """
        # The buffer may hold a part of a line.
        with contextlib.suppress(OSError):
            self._file.close()
        try:
            if not self._is_added_to or (self._is_new and not self._settled):
                self._written.unlink()
                return False
            descriptor = os.open(self._written, os.O_RDWR | SAFE_FLAGS)
            try:
                os.ftruncate(descriptor, self._settled)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except OSError:
            return False
        return True

    def _exists(self) -> ExportError:
        return ExportError(
            f"{self.name} exists and was not changed: choose another file, or add to it with --append or --since-last"
        )

    def _failed(self, error: OSError) -> ExportError:
        kept = "it has whole lines" if self._is_added_to else "nothing was exported"
        return ExportError(
            f"{self.name} cannot be written ({error.strerror}); {kept}: correct the cause, and export again"
        )


def _spans(message: ExportTraceServiceRequest) -> int:
    return sum(len(scope.spans) for resource in message.resource_spans for scope in resource.scope_spans)


def _end_of_lines(file: BinaryIO) -> int | None:
    """The length of a file up to its last whole line, since a crash may have cut the last one.

    None if the first or the last line is no line of an export.
    """
    file.seek(0)
    if not _begins_line(file.read(len(_BEGIN))):
        return None
    size = end = file.seek(0, os.SEEK_END)
    while end:
        begin = max(0, end - (1 << 16))
        file.seek(begin)
        at = file.read(end - begin).rfind(b"\n")
        if at >= 0 or not begin:
            end = begin + at + 1
            break
        end = begin
    file.seek(end)
    return end if _begins_line(file.read(min(len(_BEGIN), size - end))) else None


def _begins_line(text: bytes) -> bool:
    return _BEGIN.startswith(text)


def as_json(message: ExportTraceServiceRequest) -> dict[str, Any]:
    """OTLP's JSON: as protobuf's, with ids as hex digits and enums as numbers."""
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415 - an extra

    made: dict[str, Any] = MessageToDict(message, use_integers_for_enums=True)
    for resource in made.get("resourceSpans", ()):
        for scope in resource.get("scopeSpans", ()):
            for one in scope.get("spans", ()):
                for key in ("traceId", "spanId", "parentSpanId"):
                    if key in one:
                        one[key] = base64.b64decode(one[key]).hex()
    return made
