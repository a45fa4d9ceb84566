"""The file of a recording: JSON lines, one call a line, and large binaries beside it.

Layout: ``docs/reference/recordings.md``. A line is appended when its call has ended, so nothing recorded is lost with
the process; what changes more of the file writes a new one and renames it. Processes take turns by a lock.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from plsync.errors import RecordingFormatError, ReplayError
from plsync.replay.storage.blobs import Blobs, Unwritten

__all__ = ["FORMAT", "RecordingFile", "key_of", "line_of"]

FORMAT: Final = 1
_HEADER: Final = b'{"plsync":"recording","format":%d}' % FORMAT
# So much of it is the same in every format.
_KIND: Final = 22
_BLOBS: Final = "blobs"
# Where the key of a line is: found without parsing the rest.
_BEFORE_KEY: Final = b'{"key":"'
_KEY_BEGINS: Final = len(_BEFORE_KEY)
_KEY_ENDS: Final = _KEY_BEGINS + 16
_HEAD: Final = _KEY_ENDS + 1
_BUFFER: Final = 1 << 18


def line_of(call: dict[str, Any]) -> bytes:
    """A call as one line, without its end. Its key comes first."""
    return orjson.dumps(call)


def key_of(line: bytes) -> bytes | None:
    """The key in a line; ``None`` when it is not where it is written."""
    is_there = line.startswith(_BEFORE_KEY) and line[_KEY_ENDS : _KEY_ENDS + 1] == b'"'
    return line[_KEY_BEGINS:_KEY_ENDS] if is_there else None


def _keys(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    buffer, filled, base = bytearray(_BUFFER), 0, file.tell()
    while True:
        if filled == len(buffer):  # a line longer than that
            buffer.extend(bytes(len(buffer)))
        with memoryview(buffer) as view:
            read = file.readinto(view[filled:])  # type: ignore[attr-defined]
        if not read:
            if _is_whole(last := bytes(buffer[:filled])):
                yield base, key_of(last)
            return
        filled += read
        start = 0
        while (end := buffer.find(b"\n", start, filled)) >= 0:
            if end > start:
                yield base + start, key_of(bytes(buffer[start : start + _HEAD]))
            start = end + 1
        buffer[: filled - start] = buffer[start:filled]
        base, filled = base + start, filled - start


def _is_whole(last: bytes) -> bool:
    """Whether a last line without its end is a call: an editor took the end away. Else a process was killed in it."""
    try:
        return bool(orjson.loads(last))
    except orjson.JSONDecodeError:
        return False


class RecordingFile:
    """The lines of one recording. Reading takes no lock: whole lines appear at once."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Nothing is read or made yet."""
        self.path = Path(path)
        self._blobs = Blobs(self.path.parent / _BLOBS)

    def exists(self) -> bool:
        """Whether anything was recorded here."""
        return self.path.is_file()

    def read(self) -> list[bytes]:
        """The lines, one a call; empty when there is no file.

        Raises:
            RecordingFormatError: it is no recording, or a newer plsync wrote it.
            ReplayError: it cannot be read.
        """
        with self._reading() as file:
            if file is None:
                return []
            found = (line.removesuffix(b"\n") for line in file if line.endswith(b"\n") or _is_whole(line))
            return [line for line in found if line]

    def keys(self) -> Iterator[tuple[int, bytes | None]]:
        """Where each line begins, and the key in it: a long recording is not read into memory for one of its calls.

        Raises:
            RecordingFormatError, ReplayError: as ``read``.
        """
        with self._reading() as file:
            if file is not None:
                yield from _keys(file)

    def line_at(self, start: int) -> bytes:
        """The line that begins there, if nobody has changed the file meanwhile.

        Raises:
            RecordingFormatError, ReplayError: as ``read``.
        """
        with self._reading() as file:
            if file is None:
                return b""
            file.seek(start)
            return file.readline().removesuffix(b"\n")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[BinaryIO | None]:
        """The file behind its first line; ``None`` when there is none, or nothing in it."""
        try:
            with self.path.open("rb") as file:
                head = file.readline()
                if head:
                    self._check(head)
                yield file if head else None
        except FileNotFoundError:
            yield None
        except OSError as error:
            raise ReplayError(f"{self.path} cannot be read: {error.strerror}; nothing was changed") from error

    def append(self, line: bytes, blobs: Unwritten | None = None) -> None:
        """Add one line, and the binaries it names.

        Raises:
            ReplayError: it cannot be written; what was there before is kept.
        """
        with self._writing():
            # Under one lock with the line: a binary that no line names may be swept away at any time.
            self._blobs.write(blobs.named_in([line]) if blobs else {})
            torn = self._torn()
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                start = _HEADER + b"\n" if os.fstat(descriptor).st_size == 0 else b"\n" if torn else b""
                _write(descriptor, start + line + b"\n")
            finally:
                os.close(descriptor)

    @contextlib.contextmanager
    def rewriting(self) -> Iterator[tuple[list[bytes], Any]]:
        """The lines, and a function that replaces them all at once; nobody else writes meanwhile.

        It takes the lines, and binaries that new ones name.

        Raises:
            RecordingFormatError, ReplayError: as ``read`` and ``append``.
        """
        with self._writing():
            yield self.read(), self._replace

    def _replace(self, lines: Sequence[bytes], blobs: Unwritten | None = None) -> None:
        self._blobs.write(blobs.named_in(lines) if blobs else {})
        fresh = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            with contextlib.suppress(OSError):
                os.chmod(fresh, self.path.stat().st_mode & 0o777)
            _write(descriptor, b"".join(line + b"\n" for line in (_HEADER, *lines)))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(fresh, self.path)

    # --- large binaries ---

    def load(self, name: str) -> bytes:
        """The binary of a name.

        Raises:
            ReplayError: it is missing, or is not what its name says.
        """
        return self._blobs.load(name, self.path)

    def sweep(self) -> None:
        """Remove the binaries that no recording beside this one names.

        Raises:
            ReplayError: they cannot be removed.
        """
        with self._writing():
            self._blobs.sweep(_HEADER[:_KIND])

    # --- how ---

    def _check(self, head: bytes) -> None:
        try:
            header = orjson.loads(head)
        except orjson.JSONDecodeError:
            header = None
        if not isinstance(header, dict) or header.get("plsync") != "recording":
            raise RecordingFormatError(f"{self.path} is no recording; nothing was changed: choose another path")
        if header.get("format") != FORMAT:
            found = f"{self.path} has format {header.get('format')}, and this plsync knows {FORMAT}"
            raise RecordingFormatError(f"{found}; nothing was changed: use the plsync that wrote it, or a newer one")

    def _torn(self) -> bool:
        """Whether the file ends within a line."""
        try:
            with self.path.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                return file.read() != b"\n"
        except OSError:  # not there, or empty
            return False

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with _as_replay_error(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _lock(self.path):
                yield


@contextlib.contextmanager
def _as_replay_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ReplayError(f"{path} cannot be written: {error.strerror}; what was there before is kept") from error


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    descriptor = _lockable(path)
    try:
        yield
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _lockable(path: Path) -> int:
        descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)
        return descriptor

else:
    import fcntl

    def _lockable(path: Path) -> int:
        # The directory: it stays when the file is replaced, and no lock file is left beside the recordings.
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # a network file system may refuse to lock what is only read
            os.close(descriptor)
            descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        return descriptor
