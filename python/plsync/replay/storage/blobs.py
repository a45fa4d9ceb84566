"""Large binaries of recordings: files of their own in one directory, each named by what is in it."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from plsync.errors import RecordingFormatError, ReplayError

__all__ = ["Blobs", "Unwritten"]

_NAME: Final = re.compile(r"sha256-[0-9a-f]{64}")


class Unwritten:
    """The binaries of an answer that is not in its recording yet. They are written with its line, or not at all."""

    def __init__(self) -> None:
        """None so far."""
        self._data: dict[str, bytes] = {}

    def keep(self, data: bytes) -> str:
        """Keep a binary in memory and return its name."""
        name = _name(data)
        self._data[name] = data
        return name

    def named_in(self, lines: Iterable[bytes]) -> dict[str, bytes]:
        """Those that lines of a recording name: what was taken out of an answer is not to lie beside it."""
        named = {name.decode() for line in lines for name in _names(line)} if self._data else set()
        return {name: data for name, data in self._data.items() if name in named}


class Blobs:
    """The directory. Whoever writes or sweeps has the lock of the recordings beside it."""

    def __init__(self, directory: Path) -> None:
        """Nothing is read or made yet."""
        self.directory = directory

    def write(self, blobs: Mapping[str, bytes]) -> None:
        """Store binaries by their names. Raises OSError when they cannot be written."""
        for name, data in blobs.items():
            target = self.directory / name
            if target.exists():
                continue
            self.directory.mkdir(parents=True, exist_ok=True)
            fresh = target.with_name(f".{name}.{os.getpid()}")
            fresh.write_bytes(data)
            os.chmod(fresh, 0o600)
            os.replace(fresh, target)

    def load(self, name: str, recording: Path) -> bytes:
        """The binary of a name that a recording has.

        Raises:
            ReplayError: it is missing, or is not what its name says.
        """
        if not _NAME.fullmatch(name):
            raise RecordingFormatError(f"{recording} names {name!r}, which is no binary; nothing was changed")
        path = self.directory / name
        try:
            data = path.read_bytes()
        except OSError as error:
            advice = "was it committed beside the recording?"
            raise ReplayError(f"{path} cannot be read: {error.strerror}; {advice}") from error
        if _name(data) != name:
            raise ReplayError(f"{path} is not what its name says; restore it or record the call anew")
        return data

    def sweep(self, header: bytes) -> None:
        """Remove the binaries that none of the recordings beside the directory names.

        Args:
            header: how a recording begins.

        Raises:
            OSError: they cannot be removed.
        """
        if not self.directory.is_dir():
            return
        files = [path for path in self.directory.parent.iterdir() if path.is_file()]
        named = {name for path in files for name in _named(path, header)}
        for blob in self.directory.iterdir():
            if _NAME.fullmatch(blob.name) and blob.name not in named:
                blob.unlink()


def _name(data: bytes) -> str:
    return f"sha256-{hashlib.sha256(data).hexdigest()}"


def _names(line: bytes) -> list[bytes]:
    return re.findall(_NAME.pattern.encode(), line)


def _named(path: Path, header: bytes) -> set[str]:
    """The binaries a file names, if it is a recording."""
    with path.open("rb") as file:
        if file.read(len(header)) != header:
            return set()
        return {name.decode() for line in file for name in _names(line)}
