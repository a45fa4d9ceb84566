"""Background threads: one object per journal, however many threads need it at once."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from plsync._common.background import JournalThread

THREADS = 8


class _SlowThread(JournalThread):
    """Counts its objects. The first one waits for a second one, which must not come."""

    created = 0
    created_twice = threading.Event()

    def __init__(self, path: str) -> None:
        type(self).created += 1
        if type(self).created > 1:
            self.created_twice.set()
        self.created_twice.wait(0.2)
        super().__init__(path)

    def at_exit(self, since: float) -> None:
        """Nothing runs."""


def test_threads_that_need_the_object_of_a_journal_at_once_share_one_object() -> None:
    barrier = threading.Barrier(THREADS, timeout=30)

    def find(_: int) -> _SlowThread:
        barrier.wait()
        return _SlowThread.for_journal("/journal")

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(find, range(THREADS)))
    assert len(set(map(id, found))) == _SlowThread.created == 1
    assert _SlowThread.for_journal("/other") is not found[0]
