"""The cursor of an export: the last record that a destination has, and the calls before it that still ran.

The cursor lies in the journal, in ``exports``, because a collector has no place for it. There is one for each
destination and choice of records.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import orjson

from plsync._common.files import ensure_directory, read_own, replacing
from plsync.errors import ExportError

__all__ = ["Cursor"]

_DIRECTORY: Final = "exports"
_FORMAT: Final = 1
_LARGEST: Final = 64 << 20


@dataclass(slots=True)
class Cursor:
    """The progress of the exports to one destination."""

    path: Path
    destination: str
    seq: int = 0
    """The number of the last record that was read."""
    running: list[str] = field(default_factory=list)
    """The ids of the records up to there whose calls had not ended."""

    @classmethod
    def load(cls, journal: Path, destination: str, options: dict[str, Any], *, url_path: str = "") -> Cursor:
        """The cursor of a destination, or a new one.

        Args:
            journal: the directory of the journal.
            destination: the URL or the path of the destination, without credentials. The cursor stores it.
            options: the filters and options of the export. Another choice has another cursor.
            url_path: the path of the URL, which may be a token that ``destination`` lacks. Only a hash is stored.

        Raises:
            ExportError: the cursor is unreadable.
        """
        key = orjson.dumps([destination, options, url_path], option=orjson.OPT_SORT_KEYS)
        path = journal / _DIRECTORY / f"{blake2b(key, digest_size=8).hexdigest()}.json"
        try:
            stored: dict[str, Any] = orjson.loads(read_own(path, _LARGEST, journal=True))
            if stored["format"] != _FORMAT:
                raise ExportError(f"{path} is of a newer plsync, and nothing was exported: update plsync")
            return cls(path, destination, int(stored["seq"]), [str(one) for one in stored["running"]])
        except (FileNotFoundError, NotADirectoryError):
            return cls(path, destination)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ExportError(
                f"{path} cannot be read ({getattr(error, 'strerror', None) or 'it is damaged'}); nothing was exported: "
                "remove it, and the next export sends every record again"
            ) from error

    def save(self) -> None:
        """Write the cursor durably.

        Raises:
            ExportError: the journal is read-only, or the disk is full. The earlier cursor is unchanged.
        """
        stored = {"format": _FORMAT, "destination": self.destination, "seq": self.seq, "running": self.running}
        try:
            ensure_directory(self.path.parent)
            with replacing(self.path, sync=True, journal=True) as file:
                file.write(orjson.dumps(stored))
        except OSError as error:
            raise ExportError(
                f"{self.path} cannot be written ({error.strerror}), and the next export repeats spans: "
                "correct the cause, or export without --since-last"
            ) from error
