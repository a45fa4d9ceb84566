"""The disk of a journal: how much is free, and whether an error reports that it is full."""

from __future__ import annotations

import errno
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from plsync.errors import JournalError

__all__ = ["DiskSpace", "is_full_disk"]

# A disk is short of space below this share of its size, and below these bytes. A writer allocates 32 MB at once.
_SHORT_SHARE: Final = 0.1
_SHORT_AT_MOST: Final = 1 << 30
_SHORT_AT_LEAST: Final = 64 << 20

_FULL: Final = frozenset(getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name))


@dataclass(frozen=True, slots=True)
class DiskSpace:
    """The disk that holds a directory, in bytes.

    >>> from plsync.journal.disk import DiskSpace
    >>> DiskSpace(free=200 << 20, total=100 << 30).short
    True
    """

    free: int
    """Bytes that this user can still write."""
    total: int

    @classmethod
    def of(cls, directory: Path) -> DiskSpace | None:
        """The disk of a directory; None if the system does not report it."""
        try:
            found = shutil.disk_usage(directory)
        except OSError:
            return None
        return cls(found.free, found.total)

    @property
    def short(self) -> bool:
        """Whether programs that record calls may soon find the disk full."""
        return self.free < max(_SHORT_AT_LEAST, min(_SHORT_AT_MOST, int(self.total * _SHORT_SHARE)))


def is_full_disk(error: Exception) -> bool:
    """Whether an error reports a full disk, a used up share of a disk, or a file at its largest size."""
    return isinstance(error, OSError | JournalError) and error.errno in _FULL
