"""Fills missing digests beside other work."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from plsync.errors import JournalError

if TYPE_CHECKING:
    from typing_extensions import Self

    from plsync.journal.reader import JournalReader

__all__ = ["Filler"]

# Seconds between two looks at a journal without missing digests.
_REVISIT: Final = 5.0
# A filler works this long, and rests for as long as it worked.
_SLICE_MS: Final = 100


class Filler:
    """Fills the digests of a journal in a daemon thread, while the context runs.

    It works half of the time at most, and ends within a tenth of a second.
    """

    def __init__(self, journal: JournalReader) -> None:
        """``journal``: an open journal. It must stay open while the context runs."""
        self._digests = journal.digests
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="plsync-digests", daemon=True)

    def __enter__(self) -> Self:
        # Without a thread, `plsync usage` makes the digests.
        try:
            self._thread.start()
        except RuntimeError:
            self._stopping.set()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            # The journal is full or damaged, which the run and `plsync check` report.
            try:
                left = self._digests.fill(budget_ms=_SLICE_MS)
            except JournalError:
                left = 0
            self._stopping.wait(time.monotonic() - began if left else _REVISIT)
