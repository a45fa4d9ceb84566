"""The journal's ``doorbell``: a file that is touched whenever request ids have come, for programs that wait for them.

It is a hint. What there is to know is in the journal, so a ring that is missed costs time and nothing else.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Final

__all__ = ["POLL_SECONDS", "Doorbell"]

# Looking four times a second costs 0.05 % of a core, and works on every system and file system alike.
POLL_SECONDS: Final = 0.25


class Doorbell:
    """One program's ear at the doorbell of a journal."""

    def __init__(self, journal: str | os.PathLike[str]) -> None:
        """``journal``: its directory."""
        self._path = Path(journal) / "doorbell"
        self._heard: tuple[int, int] | None = None

    def ring(self) -> None:
        """Tell programs that wait that there may be something for them.

        Raises:
            OSError: the file cannot be made (full disk, permission).
        """
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            # Set by hand: the kernel's own stamp is too coarse to tell two rings within a tick apart.
            now = time.time_ns()
            os.utime(descriptor if os.utime in os.supports_fd else self._path, ns=(now, now))
        finally:
            os.close(descriptor)

    def rang(self) -> bool:
        """Whether it was rung since the last look; the first look tells whether it ever was.

        Look first, then read what there is: whatever comes in between rings once more.
        """
        try:
            found = os.stat(self._path)
        except OSError:  # nobody has rung yet
            return False
        heard, self._heard = self._heard, (found.st_mtime_ns, found.st_ino)
        return heard != self._heard

    def wait(self, seconds: float, woken: threading.Event | None = None) -> bool:
        """Wait until it rings, ``woken`` is set, or so many seconds have passed; whether it rang or was woken."""
        woken = woken or threading.Event()
        deadline = time.monotonic() + seconds
        while not self.rang():
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            if woken.wait(min(left, POLL_SECONDS)):
                return True
        return True
