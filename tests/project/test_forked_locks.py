"""A child that was forked while a thread held a lock of a file does not keep the lock."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Thread

import pytest

from plsync.delivery.lock import sole_sender
from plsync.journal import Journal
from plsync.lake.cursor import sole_export
from plsync.replay.storage.file_lock import file_lock
from tests.support.forks import exit_code, forked

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork")

LOCKS: dict[str, Callable[[Path], AbstractContextManager[object]]] = {
    "sender": sole_sender,
    "lake": lambda path: sole_export(path, "0" * 32),
    "recording": lambda path: file_lock(path / "recording.json"),
}


@pytest.mark.parametrize("lock", LOCKS)
def test_a_child_keeps_no_lock(lock: str, path: Path) -> None:
    stop, hold = os.pipe()

    def wait() -> None:
        os.close(hold)
        os.read(stop, 1)

    def take() -> None:
        with LOCKS[lock](path):
            taken.append(lock)

    taken: list[str] = []
    with Journal.open(path, create=True):
        pass
    with LOCKS[lock](path):
        child = forked(wait)
    thread = Thread(target=take)
    thread.start()
    thread.join(5)
    is_free = bool(taken)
    os.close(hold)
    assert exit_code(child) == 0
    thread.join()
    os.close(stop)
    assert is_free
