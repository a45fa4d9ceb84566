"""What a process has added to a recording's file: it brings it into order, and knows what is no longer needed."""

from __future__ import annotations

import weakref
from collections.abc import Callable

from plsync.replay.storage.blobs import Unwritten
from plsync.replay.storage.file import RecordingFile
from plsync.replay.storage.ordering import New, settled

__all__ = ["Written"]


class Written:
    """The lines this process has added. Not thread-safe: a ``Recording`` sees to that."""

    def __init__(self, file: RecordingFile, *, anew: bool) -> None:
        """Reads what the file holds if it is recorded ``anew``, so that it can be replaced.

        Raises:
            RecordingFormatError, ReplayError: it cannot be read.
        """
        self._file = file
        self._new: list[New] = []
        self._before = file.read() if anew else []
        self._mine: set[bytes] = set()
        # At the end of the program at the latest.
        weakref.finalize(self, _settle, file, self._new, self._before, self._mine)

    @property
    def lines(self) -> set[bytes]:
        """The lines that are ours."""
        return self._mine | {new.line for new in self._new}

    def add(self, line: bytes, span: tuple[int, int], blobs: Unwritten) -> None:
        """Append a line and the binaries it names; ``span`` is the start and the end of its call, in monotonic ns.

        Raises:
            ReplayError: it cannot be written.
        """
        self._file.append(line, blobs)
        self._new.append(New(line, *span))

    def settle(self) -> None:
        """Bring the file into its order. Raises ReplayError when it cannot be written; the lines are in it then too."""
        _settle(self._file, self._new, self._before, self._mine)

    def prune(self, is_used: Callable[[int], bool] | None) -> int:
        """Remove what nobody needs, and binaries nothing names; returns how many lines went.

        Args:
            is_used: whether the line of a number is; ``None`` if all is that was not there before.

        Raises:
            ReplayError: it cannot be written; nothing was removed.
        """
        if not self._file.exists():
            return 0
        self.settle()
        with self._file.rewriting() as (lines, replace):
            if is_used is None:
                kept = [line for line in lines if line in self._mine or line not in self._before]
            else:
                kept = [line for number, line in enumerate(lines) if line in self._mine or is_used(number)]
            if kept != lines:
                replace(kept)
        self._file.sweep()
        return len(lines) - len(kept)


def _settle(file: RecordingFile, new: list[New], before: list[bytes], mine: set[bytes]) -> None:
    if not new or not file.exists():
        return
    with file.rewriting() as (lines, replace):
        kept = settled(lines, new, before)
        if kept != lines:
            replace(kept)
        mine |= {one.line for one in new}
        new.clear()
