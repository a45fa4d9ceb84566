"""One sender a journal: two would send each other's records in doubt."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from plsync.errors import JournalLocked

__all__ = ["sole_sender"]


@contextlib.contextmanager
def sole_sender(journal: Path) -> Iterator[None]:
    """Hold ``sync.lock`` of the journal; the system lets go of it when the process dies.

    Raises:
        JournalLocked: another process is sending from this journal.
    """
    descriptor = os.open(journal / "sync.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            _lock(descriptor)
        except OSError:
            raise JournalLocked(
                f"another `plsync run` is at work on {journal}; nothing was sent twice: let it finish, or stop it"
            ) from None
        yield
    finally:
        os.close(descriptor)


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
