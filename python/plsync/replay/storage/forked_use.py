"""The calls that forked processes serve and record. The process that opened the recording counts them as its own.

Otherwise it would remove them as unused. A file without a name is made just before the first fork, and each forked
process appends a line for each call.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import weakref
from collections.abc import Iterator
from typing import Any, Final, Literal

__all__ = ["ForkedUse"]

if sys.platform != "win32":
    import fcntl

Event = Literal["served", "recorded", "missed"]

_open: Final[dict[int, weakref.ref[ForkedUse]]] = {}
_PIECE: Final = 1 << 20


class ForkedUse:
    """The events of one recording in the processes that were forked since it was opened."""

    def __init__(self) -> None:
        """Has no file before the first fork."""
        self._owner = os.getpid()
        self._file: int | None = None
        self._rest = b""
        self._position = 0
        number = id(self)
        _open[number] = weakref.ref(self, lambda _: _open.pop(number, None))

    def note(self, event: Event, content: bytes = b"") -> None:
        """Pass an event of this process to the process that opened the recording. No effect in that process.

        Args:
            event: the kind of event.
            content: the location and the key of a served call, or the recorded line. It has no line end.
        """
        if self._file is not None and os.getpid() != self._owner:
            with contextlib.suppress(OSError):  # a full disk
                os.write(self._file, b"%s %s\n" % (event.encode(), content))

    def new_events(self) -> Iterator[tuple[str, bytes]]:
        """The events of forked processes since the last call, in the process that opened the recording."""
        if sys.platform == "win32" or self._file is None or os.getpid() != self._owner:
            return
        while piece := os.pread(self._file, _PIECE, self._position):
            self._position += len(piece)
            *lines, self._rest = (self._rest + piece).split(b"\n")
            for line in lines:
                event, _, content = line.partition(b" ")
                yield event.decode(), content

    def prepare(self) -> None:
        """Make the file. Runs before each fork."""
        if sys.platform != "win32" and self._file is None:
            with contextlib.suppress(OSError):
                number, path = tempfile.mkstemp()
                weakref.finalize(self, os.close, number).atexit = False
                os.unlink(path)
                fcntl.fcntl(number, fcntl.F_SETFL, os.O_APPEND)
                self._file = number


def _prepare_all(*_: Any) -> None:
    for reference in list(_open.values()):
        if (use := reference()) is not None:
            use.prepare()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_prepare_all)
