"""Writes the calls of one process into a recording's file, keeps the file in order, and prunes it."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from plsync.replay.matching import Matcher
from plsync.replay.storage.blobs import PendingBlobs
from plsync.replay.storage.file import RecordingFile
from plsync.replay.storage.ordering import NewLine, ordered_lines

__all__ = ["RecordingWriter"]


class RecordingWriter:
    """The lines that this process has added to a file. Not thread-safe: ``Recording`` holds a lock."""

    def __init__(self, file: RecordingFile, matcher: Matcher, *, replace: bool) -> None:
        """Prepares a writer.

        Args:
            file: the recording's file.
            matcher: finds the call that a new call replaces.
            replace: new calls replace the calls that the file holds now.

        Raises:
            RecordingFormatError: the file is not a recording.
            ReplayError: the file cannot be read.
        """
        self._file = file
        self._matcher = matcher
        self._new: list[NewLine] = []
        self._old = file.read() if replace else []
        self._sorted: set[bytes] = set()
        # The file is sorted at the end of the program at the latest.
        weakref.finalize(self, _sort, file, self._new, self._old, self._sorted, matcher)

    @property
    def own_lines(self) -> set[bytes]:
        """The lines of this process."""
        return self._sorted | {new.line for new in self._new}

    def keep(self, lines: set[bytes]) -> None:
        """Count lines as written by this process: another open recording has written them into the file."""
        self._sorted |= lines

    def add(self, line: bytes, span: tuple[int, int], blobs: PendingBlobs) -> None:
        """Append a line and the binaries that it names.

        Args:
            line: the call, without a line end.
            span: start and end of the call, in monotonic nanoseconds.
            blobs: the binaries of the call.

        Raises:
            ReplayError: the file cannot be written.
        """
        self._file.append(line, blobs)
        self._new.append(NewLine(line, *span))

    def sort(self) -> None:
        """Bring the lines of the file into their order.

        Raises:
            ReplayError: the file cannot be written; it still holds every line.
        """
        _sort(self._file, self._new, self._old, self._sorted, self._matcher)

    def not_replaced(self) -> set[bytes]:
        """The lines of the earlier recording that no line of this process replaces. The file is not changed."""
        new = list(self._new)
        kept = ordered_lines(self._file.read(), new, self._old, self._matcher)
        return set(self._old).intersection(kept) - self._sorted - {one.line for one in new}

    def prune(self, is_used: Callable[[int], bool] | None) -> int:
        """Remove unused lines, and binaries that no recording names.

        Args:
            is_used: whether the line of a number is used; ``None`` to keep only lines that this process has written.

        Returns:
            The number of lines that were removed.

        Raises:
            ReplayError: the file cannot be written; nothing was removed.
        """
        if not self._file.exists():
            return 0
        self.sort()
        with self._file.rewrite() as (lines, replace):
            if is_used is None:
                kept = [line for line in lines if line in self._sorted or line not in self._old]
            else:
                kept = [line for number, line in enumerate(lines) if line in self._sorted or is_used(number)]
            if kept != lines:
                replace(kept)
        self._file.sweep()
        return len(lines) - len(kept)


def _sort(file: RecordingFile, new: list[NewLine], old: list[bytes], done: set[bytes], matcher: Matcher) -> None:
    if not new or not file.exists():
        return
    with file.rewrite() as (lines, replace):
        kept = ordered_lines(lines, new, old, matcher)
        if kept != lines:
            replace(kept)
        done |= {one.line for one in new}
        new.clear()
