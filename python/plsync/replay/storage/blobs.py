"""Large binaries of recordings: one directory, one file each, named by its content."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from plsync.errors import RecordingFormatError, ReplayError

__all__ = ["BlobDirectory", "PendingBlobs"]

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
        named = {name.decode() for line in lines for name in _names(line)} if self._data else set()
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
        for name, data in blobs.items():
            target = self.directory / name
            if target.exists():
                continue
            self.directory.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{name}.{os.getpid()}")
            temporary.write_bytes(data)
            os.chmod(temporary, 0o600)
            os.replace(temporary, target)

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
            data = path.read_bytes()
        except OSError as error:
            advice = "commit it beside the recording, or record the call again"
            raise ReplayError(f"{path} cannot be read: {error.strerror}; nothing was changed: {advice}") from error
        if _name(data) != name:
            advice = "restore it, or record the call again"
            raise ReplayError(f"the content of {path} does not match its name; nothing was changed: {advice}")
        return data

    def sweep(self, header: bytes) -> None:
        """Remove the binaries that no recording beside the directory names.

        Args:
            header: the first bytes of every recording.

        Raises:
            OSError: a binary cannot be removed.
        """
        if not self.directory.is_dir():
            return
        files = [path for path in self.directory.parent.iterdir() if path.is_file()]
        named = {name for path in files for name in _names_in_file(path, header)}
        for blob in self.directory.iterdir():
            if _NAME.fullmatch(blob.name) and blob.name not in named:
                blob.unlink()


def _name(data: bytes) -> str:
    return f"sha256-{hashlib.sha256(data).hexdigest()}"


def _names(line: bytes) -> list[bytes]:
    return re.findall(_NAME.pattern.encode(), line)


def _names_in_file(path: Path, header: bytes) -> set[str]:
    """The binaries that a file names, if it is a recording."""
    with path.open("rb") as file:
        if file.read(len(header)) != header:
            return set()
        return {name.decode() for line in file for name in _names(line)}
