"""A process forks while its threads use a journal. Parent and child both continue."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from plsync import Journal
from tests.support.forks import SECONDS, exit_code, forked

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork"),
]

FORKS = 40


@pytest.fixture
def at_work(path: Path) -> Iterator[None]:
    """Threads that open, write, ingest, read and close a journal until the end of the test."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            with Journal.open(path, create=True) as journal:
                journal.append({"by": "a thread"})
                journal.flush()
                journal.stats()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    yield
    over.set()
    for thread in threads:
        thread.join()


@pytest.mark.usefixtures("at_work")
def test_a_child_of_a_process_with_busy_threads_opens_the_journal(path: Path) -> None:
    def use() -> None:
        with Journal.open(path, create=True) as journal:
            assert journal.get(journal.append({"by": "a child"}))

    assert [exit_code(forked(use)) for _ in range(FORKS)] == [0] * FORKS


@pytest.mark.usefixtures("at_work")
def test_a_child_uses_the_open_journal_of_its_parents_busy_threads(path: Path) -> None:
    with Journal.open(path, create=True) as shared:

        def use() -> None:
            assert shared.get(shared.append({"by": "a child"}))

        assert [exit_code(forked(use)) for _ in range(FORKS)] == [0] * FORKS


def test_a_child_keeps_no_lock_that_a_thread_of_its_parent_held(path: Path) -> None:
    """With such a lock, the next ingest would wait for the end of the child."""
    stop, hold = os.pipe()
    over = threading.Event()

    def wait() -> None:
        os.close(hold)
        os.read(stop, 1)

    with Journal.open(path, create=True) as journal:

        def flush_repeatedly() -> None:
            while not over.is_set():
                journal.flush()

        thread = threading.Thread(target=flush_repeatedly)
        thread.start()
        children = [forked(wait) for _ in range(FORKS)]
        over.set()
        thread.join(SECONDS / 2)
        is_stuck = thread.is_alive()
        os.close(hold)
        assert [exit_code(pid) for pid in children] == [0] * FORKS
        thread.join()
        os.close(stop)
    assert not is_stuck
