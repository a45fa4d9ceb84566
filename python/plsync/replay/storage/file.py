"""The file of a recording: JSON lines, one call per line, and large binaries beside it.

``docs/reference/recordings.md`` describes the layout. A line is appended when its call ends, so a process that dies
loses no recorded call. Any larger change writes a new file and renames it. A lock keeps two processes from writing at
once.
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import functools
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from plsync._common.files import SAFE_FLAGS, open_any, replacing
from plsync._common.large_json import dumps
from plsync.errors import RecordingFormatError, ReplayError
from plsync.replay.storage.blobs import BlobDirectory, PendingBlobs, names_in
from plsync.replay.storage.file_lock import file_lock

__all__ = ["FORMAT", "RecordingFile", "key_of", "line_of"]

FORMAT: Final = 1
"""The format that this module writes, and the only one that it reads."""

_HEADER: Final = b'{"plsync":"recording","format":%d}' % FORMAT
# Every format begins with the same bytes of the header.
_COMMON_HEADER: Final = _HEADER[:22]
_BLOBS: Final = "blobs"
_DIRECTORY: Final = "recordings"
# The key stands first in its line, so that it is found without parsing the line.
_BEFORE_KEY: Final = b'{"key":"'
_KEY_START: Final = len(_BEFORE_KEY)
_KEY_END: Final = _KEY_START + 16
_KEY_LINE: Final = _KEY_END + 1
_BUFFER: Final = 1 << 18
# The bytes that are read of a first line. A header of any format is shorter.
_MAX_HEADER: Final = 4096


def line_of(call: dict[str, Any]) -> bytes:
    """A call as one line, without a line end. ``key`` must be the first key of ``call``."""
    return dumps(call)


def _without_end(line: bytes) -> bytes:
    return line.removesuffix(b"\n").removesuffix(b"\r")


def key_of(line: bytes) -> bytes | None:
    """The key at the start of a line; ``None`` for a line that starts with anything else."""
    has_key = line.startswith(_BEFORE_KEY) and line[_KEY_END : _KEY_END + 1] == b'"'
    return line[_KEY_START:_KEY_END] if has_key else None


def _scan_keys(file: BinaryIO) -> Iterator[tuple[int, bytes | None]]:
    buffer, filled, base = bytearray(_BUFFER), 0, file.tell()
    while True:
        if filled == len(buffer):  # a line longer than the buffer
            buffer.extend(bytes(len(buffer)))
        with memoryview(buffer) as view:
            read = file.readinto(view[filled:])  # type: ignore[attr-defined]
        if not read:
            if _is_complete(last := bytes(buffer[:filled])):
                yield base, key_of(last)
            return
        filled += read
        start = 0
        while (end := buffer.find(b"\n", start, filled)) >= 0:
            if end > start:
                yield base + start, key_of(bytes(buffer[start : start + _KEY_LINE]))
            start = end + 1
        buffer[: filled - start] = buffer[start:filled]
        base, filled = base + start, filled - start


def _is_complete(last: bytes) -> bool:
    """Whether a last line without a line end is a call. Otherwise a process was killed while it wrote the line."""
    try:
        return bool(orjson.loads(last))
    except orjson.JSONDecodeError:
        return False


class RecordingFile:
    """The lines of one recording. Reading takes no lock, because a line is written at once."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Refers to a file. Nothing is read or created."""
        self.path = Path(path)
        # The binaries that removed lines have named.
        self._dropped: set[str] = set()

    @functools.cached_property
    def _target(self) -> Path:
        """The file that the path leads to. A link may lead to another recording, and not to a file elsewhere."""
        target = Path(os.path.realpath(self.path))
        root = Path(os.path.realpath(_root(Path(os.path.abspath(self.path)))))
        if not target.is_relative_to(root):
            raise ReplayError(
                f"{self.path} is a link out of {root}, to {target}; nothing was read or changed: replace it by a file"
            )
        return target

    @functools.cached_property
    def _blobs(self) -> BlobDirectory:
        return BlobDirectory(self._target.parent / _BLOBS)

    def exists(self) -> bool:
        """Whether the file exists.

        Raises:
            ReplayError: the path is a link to a file elsewhere.
        """
        return self._target.is_file()

    def read(self) -> list[bytes]:
        """The lines, one per call; empty without a file.

        Raises:
            RecordingFormatError: the file is not a recording, or a newer plsync wrote it.
            ReplayError: the file cannot be read.
        """
        with self._reading() as file:
            if file is None:
                return []
            found = (_without_end(line) for line in file if line.endswith(b"\n") or _is_complete(line))
            return [line for line in found if line and not self._is_repeated_header(line)]

    def keys(self) -> Iterator[tuple[int, bytes | None]]:
        """The offset and the key of each line: serving one call does not read a long recording into memory.

        Raises:
            RecordingFormatError: see ``read``.
            ReplayError: see ``read``.
        """
        with self._reading() as file:
            if file is not None:
                for start, key in _scan_keys(file):
                    # Only a line without a key may be a header, or the empty line of a file with CRLF.
                    if key is not None or not self._is_no_call(start):
                        yield start, key

    def line_at(self, start: int) -> bytes:
        """The line at an offset, provided that the file was not changed since ``keys``.

        Raises:
            RecordingFormatError: see ``read``.
            ReplayError: see ``read``.
        """
        with self._reading() as file:
            if file is None:
                return b""
            file.seek(start)
            return _without_end(file.readline())

    @contextlib.contextmanager
    def _reading(self) -> Iterator[BinaryIO | None]:
        """The file, read up to the end of its header; ``None`` for an empty or missing file."""
        try:
            with open(open_any(self._target), "rb") as file:
                head = file.readline(_MAX_HEADER)
                if head:
                    self._check(_without_end(head.removeprefix(codecs.BOM_UTF8)))
                yield file if head else None
        except FileNotFoundError:
            yield None
        except OSError as error:
            raise ReplayError(f"{self.path} cannot be read: {error.strerror}; nothing was changed") from error

    def append(self, line: bytes, blobs: PendingBlobs | None = None) -> None:
        """Add one line, and the binaries that it names.

        Raises:
            ReplayError: the file cannot be written; the earlier lines are kept.
        """
        with self._writing():
            # Under the same lock as the line: a sweep removes a binary that no line names.
            self._blobs.write(blobs.named_in([line]) if blobs else {})
            cut, end = self._ends_within_line(), self._line_end()
            descriptor = os.open(self._target, os.O_WRONLY | os.O_CREAT | os.O_APPEND | SAFE_FLAGS, 0o600)
            try:
                if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                    raise PermissionError(errno.EPERM, "it is not a regular file", str(self.path))
                start = _HEADER + end if os.fstat(descriptor).st_size == 0 else end if cut else b""
                _write(descriptor, start + line + end)
            finally:
                os.close(descriptor)

    @contextlib.contextmanager
    def rewrite(self) -> Iterator[tuple[list[bytes], Any]]:
        """The lines, and a function that replaces all of them; no other process writes inside the block.

        The function takes the new lines, and the pending binaries that they name.

        Raises:
            RecordingFormatError: see ``read``.
            ReplayError: the file cannot be read or written; the earlier lines are kept.
        """
        with self._writing():
            earlier = self.read()

            def replace(lines: Sequence[bytes], blobs: PendingBlobs | None = None) -> None:
                self._replace(lines, blobs)
                self._dropped |= names_in(set(earlier).difference(lines))

            yield earlier, replace

    def _replace(self, lines: Sequence[bytes], blobs: PendingBlobs | None) -> None:
        self._blobs.write(blobs.named_in(lines) if blobs else {})
        mode = None
        with contextlib.suppress(OSError):
            mode = self._target.stat().st_mode & 0o777
        with replacing(self._target, mode=mode, sync=True) as file:
            end = self._line_end()
            file.writelines(line + end for line in (_HEADER, *lines))

    def remove(self) -> None:
        """Remove the file, and the binaries that only this recording names.

        Raises:
            ReplayError: a file cannot be removed.
        """
        with self._writing():
            with contextlib.suppress(ReplayError):
                self._dropped |= names_in(self.read())
            self.path.unlink(missing_ok=True)
            self._blobs.sweep(self._dropped, _COMMON_HEADER)

    # --- large binaries ---

    def load_blob(self, name: str) -> bytes:
        """The binary of a name.

        Raises:
            RecordingFormatError: the name is not a name of a binary.
            ReplayError: the binary is missing, or its content does not match its name.
        """
        return self._blobs.load(name, self.path)

    def sweep(self) -> None:
        """Remove the binaries that removed lines have named, and that no recording of the directory names.

        Raises:
            ReplayError: a binary cannot be removed.
        """
        with self._writing():
            self._blobs.sweep(self._dropped, _COMMON_HEADER)
            self._dropped.clear()

    # --- checks and locks ---

    def _is_repeated_header(self, line: bytes) -> bool:
        """Whether a line is a header behind the first line: a union merge and ``cat`` leave one."""
        line = line.removeprefix(codecs.BOM_UTF8)
        if not line.startswith(_COMMON_HEADER):
            return False
        self._check(line)
        return True

    def _is_no_call(self, start: int) -> bool:
        line = self.line_at(start)
        return not line or self._is_repeated_header(line)

    def _check(self, head: bytes) -> None:
        try:
            header = orjson.loads(head)
        except orjson.JSONDecodeError:
            header = None
        if not isinstance(header, dict) or header.get("plsync") != "recording":
            raise RecordingFormatError(f"{self.path} is not a recording; nothing was changed: choose another path")
        if header.get("format") != FORMAT:
            found = f"{self.path} has format {header.get('format')}, and this plsync reads format {FORMAT}"
            raise RecordingFormatError(f"{found}; nothing was changed: use the plsync that wrote it, or a newer one")

    def _line_end(self) -> bytes:
        """The line end of the file: git checks files out with CRLF on some machines, and a diff must show no others."""
        try:
            with open(open_any(self._target), "rb") as file:
                return b"\r\n" if file.readline(_MAX_HEADER).endswith(b"\r\n") else b"\n"
        except OSError:  # the file is missing
            return b"\n"

    def _ends_within_line(self) -> bool:
        try:
            with open(open_any(self._target), "rb") as file:
                file.seek(-1, os.SEEK_END)
                return file.read() != b"\n"
        except OSError:  # the file is missing or empty
            return False

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with _as_replay_error(self.path):
            self._target.parent.mkdir(parents=True, exist_ok=True)
            with file_lock(self._target):
                yield


def _root(path: Path) -> Path:
    """The directory that a link may not leave: the directory of all recordings, or else the one of this recording."""
    return next((parent for parent in path.parents if parent.name == _DIRECTORY), path.parent)


@contextlib.contextmanager
def _as_replay_error(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ReplayError(f"{path} cannot be written: {error.strerror}; its earlier content is kept") from error


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
