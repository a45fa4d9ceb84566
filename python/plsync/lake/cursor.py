"""The cursor of a lake: the state in which each file holds its records.

The cursor lies in the lake, and not in the journal, because it describes the files beside it. A lake that is removed or
restored takes its cursor along. A journal may have several lakes, and a read-only journal can be exported. The name has
the journal's id, so that the cursors of many machines do not meet when their lakes are merged. Engines skip directories
whose name starts with an underscore.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from plsync._common.files import open_own, read_own, replacing
from plsync.errors import ExportError

__all__ = ["Cursor", "sole_export"]

_DIRECTORY: Final = "_plsync"
_FORMAT: Final = 1
_LARGEST: Final = 256 << 20


@dataclass(slots=True)
class Cursor:
    """The records of a journal in the lake, by file."""

    path: Path
    options: dict[str, Any]
    """The filters, and whether there is content. All files of a journal in a lake have the same."""
    files: dict[str, str] = field(default_factory=dict)
    """The digest of the states of the records in each file, by its path in the lake."""
    is_new: bool = True

    @classmethod
    def load(cls, directory: Path, journal_id: str, options: dict[str, Any]) -> Cursor:
        """The cursor of a journal, or a new one.

        Raises:
            ExportError: the lake has records of this journal that were exported with other options, or the cursor is
                unreadable.
        """
        path = directory / _DIRECTORY / f"{journal_id}.json"
        try:
            stored: dict[str, Any] = orjson.loads(read_own(path, _LARGEST))
            version, known, files = stored["format"], stored["options"], dict(stored["files"])
        except FileNotFoundError:
            return cls(path, options)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ExportError(
                f"{path} cannot be read ({getattr(error, 'strerror', None) or 'it is damaged'}); nothing was written: "
                "remove it, and the next export writes every day again"
            ) from error
        if version != _FORMAT:
            raise ExportError(f"{path} is of a newer plsync, and nothing was written: update plsync")
        if known != options:
            raise ExportError(
                f"{directory} has this journal's records with {_described(known)}, and this export has "
                f"{_described(options)}; nothing was written: pass the same options, or choose another directory"
            )
        return cls(path, options, files, is_new=False)

    def save(self) -> None:
        """Write the cursor durably.

        Raises:
            OSError: the disk is full or fails. The earlier cursor is unchanged.
        """
        with replacing(self.path, sync=True) as file:
            file.write(orjson.dumps({"format": _FORMAT, "options": self.options, "files": self.files}))


def _described(options: dict[str, Any]) -> str:
    words = [f"{name}={orjson.dumps(value).decode()}" for name, value in options.items() if value not in (None, {})]
    return ", ".join(words) or "no options"


@contextlib.contextmanager
def sole_export(directory: Path, journal_id: str) -> Iterator[None]:
    """Hold the right to write this journal's files in a lake. A process that dies releases it.

    Raises:
        ExportError: another process exports this journal into the lake, or the lake cannot be written.
    """
    folder = directory / _DIRECTORY
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = open_own(folder / f"{journal_id}.lock", create=True)
    except OSError as error:
        raise ExportError(f"{folder} cannot be written ({error.strerror}); nothing was exported") from error
    try:
        try:
            _lock(descriptor)
        except OSError:
            raise ExportError(
                f"another export of this journal writes to {directory}; nothing was written twice: let it finish"
            ) from None
        yield
    finally:
        _unlock(descriptor)
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

    def _unlock(descriptor: int) -> None:
        pass  # the close releases the lock

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(descriptor: int) -> None:
        # A child that was forked meanwhile shares the open file, and would keep the lock.
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
