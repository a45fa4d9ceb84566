"""Large binaries of recordings: one directory, one file each, named by its content."""

from __future__ import annotations

import codecs
import errno
import hashlib
import os
import re
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from plsync._common.files import is_file, open_any, replacing
from plsync.errors import RecordingFormatError, ReplayError

__all__ = ["BlobDirectory", "PendingBlobs", "names_in"]

_NAME: Final = re.compile(r"sha256-[0-9a-f]{64}")


class PendingBlobs:
    """The binaries of a response that is not in its recording yet. They are written together with its line."""

    def __init__(self) -> None:
        self._data: dict[str, bytes] = {}

    def add(self, data: bytes) -> str:
        """Keep a binary in memory and return its name."""
        name = _name(data)
        self._data[name] = data
        return name

    def named_in(self, lines: Iterable[bytes]) -> dict[str, bytes]:
        """The binaries that lines of a recording name: a binary that a hook removed must not be written."""
        named = names_in(lines) if self._data else set()
        return {name: data for name, data in self._data.items() if name in named}


class BlobDirectory:
    """The directory of binaries beside recordings. A caller that writes or sweeps holds the recordings' lock."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def write(self, blobs: Mapping[str, bytes]) -> None:
        """Store binaries under their names.

        Raises:
            OSError: a binary cannot be written.
        """
        if not blobs:
            return
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._check()
        for name, data in blobs.items():
            target = self.directory / name
            if is_file(target):
                continue
            with replacing(target) as file:
                file.write(data)

    def load(self, name: str, recording: Path) -> bytes:
        """The binary of a name.

        Args:
            name: the name in the recording.
            recording: the file of the recording, for messages.

        Raises:
            RecordingFormatError: the name is not a name of a binary.
            ReplayError: the binary is missing, or its content does not match its name.
        """
        if not _NAME.fullmatch(name):
            raise RecordingFormatError(
                f"{recording} refers to {name!r}, which is not the name of a binary; nothing was changed: "
                "record the call again"
            )
        path = self.directory / name
        try:
            self._check()
            with open(open_any(path), "rb") as file:
                data = file.read()
        except OSError as error:
            advice = "commit it beside the recording, or record the call again"
            raise ReplayError(f"{path} cannot be read: {error.strerror}; nothing was changed: {advice}") from error
        if _name(data) != name:
            advice = "restore it, or record the call again"
            raise ReplayError(f"the content of {path} does not match its name; nothing was changed: {advice}")
        return data

    def sweep(self, dropped: set[str], header: bytes) -> None:
        """Remove binaries that no recording beside the directory names any more.

        Args:
            dropped: the binaries that removed lines have named. Any other file may belong to another program.
            header: the first bytes of every recording.

        Raises:
            OSError: a binary cannot be removed, or the directory is a link.
        """
        if not dropped or not os.path.lexists(self.directory):
            return
        self._check()
        files = [path for path in self.directory.parent.iterdir() if is_file(path)]
        named = {name for path in files for name in _names_in_file(path, header)}
        for name in dropped - named:
            if is_file(self.directory / name):
                (self.directory / name).unlink()

    def _check(self) -> None:
        """Refuse a link: it may lead to the directory of another program."""
        if not stat.S_ISDIR(os.lstat(self.directory).st_mode):
            remedy = f"{self.directory} is a link or a file: replace it by a directory"
            raise PermissionError(errno.EPERM, remedy, str(self.directory))


def names_in(lines: Iterable[bytes]) -> set[str]:
    """The binaries that lines of a recording name."""
    return {name.decode() for line in lines for name in _names(line)}


def _name(data: bytes) -> str:
    return f"sha256-{hashlib.sha256(data).hexdigest()}"


def _names(line: bytes) -> list[bytes]:
    return re.findall(_NAME.pattern.encode(), line)


def _names_in_file(path: Path, header: bytes) -> set[str]:
    """The binaries that a file names, if it is a recording."""
    with open(open_any(path), "rb") as file:
        start = file.read(len(codecs.BOM_UTF8) + len(header)).removeprefix(codecs.BOM_UTF8)
        return names_in(file) if start.startswith(header) else set()
