"""The journal's ``doorbell``: a file whose time changes when request ids arrive, for programs that wait for them.

It is a hint. The journal holds the request ids, so a missed ring costs time and nothing else.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Final

from plsync._common.files import open_own

__all__ = ["POLL_SECONDS", "Doorbell"]

# Four polls a second cost 0.05 % of a core, and work on every system and file system.
POLL_SECONDS: Final = 0.25


class Doorbell:
    """The doorbell of a journal. Each object remembers the last ring that it noticed."""

    def __init__(self, journal: str | os.PathLike[str]) -> None:
        """``journal``: its directory."""
        self._path = Path(journal) / "doorbell"
        self._noticed: tuple[int, int] | None = None

    def ring(self) -> None:
        """Wake the programs that wait for request ids.

        Raises:
            OSError: the file cannot be created or changed (full disk, permission), or is no file of this user.
        """
        if not _touch(self._path):
            own = self._path.with_name(f"{self._path.name}.{os.urandom(16).hex()}")
            try:
                _touch(own)
                os.replace(own, self._path)
            finally:
                own.unlink(missing_ok=True)

    def has_rung(self) -> bool:
        """Whether it was rung since the last call. The first call returns whether it was ever rung.

        Call this first, then read the journal: an id that arrives in between rings once more.
        """
        try:
            found = os.lstat(self._path)
        except OSError:  # never rung
            return False
        noticed, self._noticed = self._noticed, (found.st_mtime_ns, found.st_ino)
        return noticed != self._noticed

    def wait(self, seconds: float, woken: threading.Event | None = None) -> bool:
        """Wait for a ring.

        Args:
            seconds: the longest wait.
            woken: also ends the wait, once it is set.

        Returns:
            False when the time ran out.
        """
        woken = woken or threading.Event()
        deadline = time.monotonic() + seconds
        while not self.has_rung():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            if woken.wait(min(remaining, POLL_SECONDS)):
                return True
        return True


def _touch(path: Path) -> bool:
    """Set the time of a file. False if another member of a shared journal owns it: only an owner sets an exact time."""
    descriptor = open_own(path, create=True, journal=True)
    try:
        # The kernel's own time is too coarse to separate two rings within a tick.
        now = time.time_ns()
        os.utime(descriptor if os.utime in os.supports_fd else path, ns=(now, now))
    except PermissionError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)
