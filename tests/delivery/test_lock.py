"""One sender for each journal: its lock, and the report of its activity to other processes."""

from __future__ import annotations

import multiprocessing
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from plsync.delivery.lock import current_sender, sole_sender
from plsync.errors import JournalLocked
from plsync.journal import Journal
from tests.support.commands import json_lines, printed


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    with Journal.open(tmp_path / "journal", create=True) as journal:
        yield journal.path


def test_the_error_of_a_second_sender_names_the_first(path: Path) -> None:
    with sole_sender(path), pytest.raises(JournalLocked, match=f"process {os.getpid()}, since "), sole_sender(path):
        pass


def test_the_next_sender_may_begin_when_the_first_has_ended(path: Path) -> None:
    for _ in range(2):
        with sole_sender(path):
            pass
    assert current_sender(path) is None


def test_the_lock_file_holds_the_activity_of_the_sender(path: Path) -> None:
    with sole_sender(path) as lock:
        lock.report("waiting: no connection to x" + "!" * 1000)
        lock.report("idle")
        sender = current_sender(path)
        assert sender is not None
        assert (sender.pid, sender.activity) == (os.getpid(), "idle")


def test_a_forked_child_does_not_hold_its_parents_lock(path: Path) -> None:
    context = multiprocessing.get_context("fork")
    may_end = context.Event()
    with sole_sender(path):
        child = context.Process(target=may_end.wait)
        child.start()
    try:
        with sole_sender(path):
            pass
    finally:
        may_end.set()
        child.join()


def test_status_names_the_sender(path: Path) -> None:
    with sole_sender(path) as lock:
        lock.report("waiting: no connection to https://api.promptlayer.com")
        assert re.search(rf"sender +process {os.getpid()}.*no connection to", printed(path, "status"))
        (facts,) = json_lines(path, "status")
        assert facts["sender"]["pid"] == os.getpid()
    assert re.search(r"sender +none running", printed(path, "status"))
