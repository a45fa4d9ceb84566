"""The note on a journal whose disk is nearly full."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from plsync._common.clock import elapsed
from plsync.cli import humanize
from plsync.journal.disk import DiskSpace

__all__ = ["DiskWatch", "disk_note"]

# Seconds between two looks of a run at its disk.
_EVERY: Final = 60.0


def disk_note(journal: Path) -> str | None:
    """A warning if the disk of a journal is nearly full, or None."""
    space = DiskSpace.of(journal)
    if space is None or not space.short:
        return None
    used, free = humanize.size(_used(journal)), humanize.size(space.free)
    return (
        f"The disk of the journal is nearly full: {used} used, {free} free. "
        "Programs lose calls on a full disk: free some space, or limit the journal with `plsync quota`."
    )


def _used(journal: Path) -> int:
    """Bytes of disk space of the files in a directory."""
    used = 0
    for directory, _, names in os.walk(journal):
        for name in names:
            with contextlib.suppress(OSError):  # an ingest may have removed it in between
                found = os.lstat(os.path.join(directory, name))
                used += min(found.st_size, getattr(found, "st_blocks", found.st_size) * 512)
    return used


class DiskWatch:
    """Looks at the disk of a running sender, at most once a minute.

    Args:
        journal: the journal's directory.
    """

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._looked_at = -_EVERY
        self._is_short = False

    def note(self) -> str | None:
        """The warning when the disk has become short of space since the last look, or None."""
        if elapsed() - self._looked_at < _EVERY:
            return None
        self._looked_at = elapsed()
        was_short, note = self._is_short, disk_note(self._journal)
        self._is_short = note is not None
        return None if was_short else note
