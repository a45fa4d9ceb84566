"""Calls in a journal, for tests of their delivery."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from plsync.journal import Journal
from tests.support.spooling import SpoolWriter

AT = 1_790_000_000_000


def write_calls(path: Path, number: int, *, sink: str | None = None) -> list[str]:
    """Write finished chat calls of a process that has ended since. Returns their ids, oldest first."""
    writer = SpoolWriter(path)
    start = {} if sink is None else {"sink": sink}
    ids = [writer.call(f"question {index}", f"answer {index}", at=AT + index, **start) for index in range(number)]
    writer.close()
    return ids


def states(path: Path) -> dict[str, str]:
    """The state of every record, by id."""
    with Journal.open(path) as journal:
        return {record.id: record.state for record in journal.records()}


def request_ids(path: Path) -> dict[str, int | None]:
    """PromptLayer's id of every record, by id."""
    with Journal.open(path) as journal:
        return {record.id: record.request_id for record in journal.records()}


def acknowledge(path: Path) -> int:
    """Store a request id for every record of a journal, and return the number of records."""
    with Journal.open(path) as journal:
        journal.ingest()
        leased = journal.outbox.lease(100, 60_000, time.time_ns() // 1_000_000)
        journal.outbox.ack([(record.seq, 1000 + record.seq) for record in leased])
        return len(leased)


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    """Return when the condition holds; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.01)
