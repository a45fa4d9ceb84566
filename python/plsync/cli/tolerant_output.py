"""Output streams for a run that goes on when its output cannot be written.

A run delivers for months. The reader of its pipe may die, its terminal may close, and the disk of its log may be full.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any, TextIO

__all__ = ["tolerate_failed_output"]


def tolerate_failed_output() -> None:
    """Let standard output and standard error drop the lines that cannot be written, until this process ends."""
    sys.stdout = _tolerant(sys.stdout)
    sys.stderr = _tolerant(sys.stderr)


class _TolerantFile(io.RawIOBase):
    """A file whose writes never fail. Lines that cannot be written are dropped."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._is_inside_line = False
        self._is_cut = False

    def fileno(self) -> int:
        return self._descriptor

    def isatty(self) -> bool:
        return os.isatty(self._descriptor)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        lines = bytes(data)
        if self._is_cut:
            # The rest of a line whose beginning was dropped is dropped with it.
            _, end, lines = lines.partition(b"\n")
            if not end:
                return len(data)
            if self._is_inside_line:
                lines = b"\n" + lines
        self._is_cut = not self._write_all(lines) and not lines.endswith(b"\n")
        return len(data)

    def _write_all(self, lines: bytes) -> bool:
        while lines:
            try:
                written = os.write(self._descriptor, lines)
            except OSError:  # EPIPE, ENOSPC, EIO of a closed terminal, EAGAIN of a pipe that does not block
                return False
            self._is_inside_line = lines[written - 1 : written] != b"\n"
            lines = lines[written:]
        return True


def _tolerant(stream: TextIO) -> TextIO:
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # not a file
        return stream
    stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(_TolerantFile(descriptor)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=True,
        write_through=stream is sys.stderr,
    )
