"""Delivery of request ids to callbacks: at least once each, and errors are kept."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from plsync.callbacks.worker import MAX_ATTEMPTS, CallbackReport
from plsync.journal import Journal
from plsync.journal.record import Record
from tests.support.callback_worker import deliver
from tests.support.calls import request_ids, write_calls
from tests.support.spooling import SpoolWriter

SINK = "app:on_id"


@pytest.fixture
def acked(path: Path) -> Iterator[Journal]:
    """A journal with three acked records of a dead process, whose callbacks wait."""
    write_calls(path, 3, sink=SINK)
    with Journal.open(path) as journal:
        acknowledge(journal)
        yield journal


def acknowledge(journal: Journal) -> None:
    journal.ingest(wait=True)
    leased = journal.outbox.lease(100, 60_000, now_ms())
    journal.outbox.ack([(record.seq, 1000 + record.seq) for record in leased])


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def test_a_callback_with_one_argument_receives_every_request_id(acked: Journal) -> None:
    received: list[int] = []
    report = deliver(acked, {SINK: received.append})
    assert report == CallbackReport(delivered=3)
    assert sorted(received) == sorted(filter(None, request_ids(acked.path).values()))
    assert all(type(request_id) is int for request_id in received)


def test_a_callback_with_two_arguments_receives_the_record_too(acked: Journal) -> None:
    received: list[tuple[int, Record]] = []
    deliver(acked, {SINK: lambda request_id, record: received.append((request_id, record))})
    assert all(record.request_id == request_id and record.status == "ok" for request_id, record in received)
    assert len(received) == 3


def test_a_delivered_callback_is_not_delivered_again(acked: Journal) -> None:
    received: list[int] = []
    deliver(acked, {SINK: received.append})
    assert deliver(acked, {SINK: received.append}) == CallbackReport()
    assert len(received) == 3


def test_the_id_of_a_callback_that_raises_is_kept_with_the_error(acked: Journal) -> None:
    def refuse(request_id: int) -> None:
        raise ValueError(f"no room for {request_id}")

    report = deliver(acked, {SINK: refuse})
    assert (report.delivered, report.failed, report.dead) == (0, 3, 0)
    assert report.errors[0].startswith("app:on_id raised ValueError: no room for")
    assert acked.stats().callbacks == 3


def test_a_failed_callback_is_tried_again_later(acked: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    attempts: list[int] = []

    def fail_once(request_id: int) -> None:
        attempts.append(request_id)
        if len(attempts) <= 3:
            raise ConnectionError

    deliver(acked, {SINK: fail_once})
    assert deliver(acked, {SINK: fail_once}).delivered == 0
    skip_time(monkeypatch, 60)
    assert deliver(acked, {SINK: fail_once}).delivered == 3


def test_a_callback_is_dead_after_ten_attempts(acked: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(request_id: int) -> None:
        raise ValueError

    reports = []
    for attempt in range(MAX_ATTEMPTS):
        skip_time(monkeypatch, attempt * 40_000)
        reports.append(deliver(acked, {SINK: refuse}))
    assert [report.failed for report in reports] == [3] * 9 + [0]
    assert reports[-1].dead == 3
    skip_time(monkeypatch, 1_000_000)
    assert deliver(acked, {SINK: refuse}) == CallbackReport()
    assert acked.callbacks.requeue(SINK) == 3
    assert deliver(acked, {SINK: lambda _: None}).delivered == 3


def test_a_failing_callback_does_not_delay_other_ids(acked: Journal) -> None:
    received: list[int] = []

    def refuse_first(request_id: int) -> None:
        received.append(request_id)
        if len(received) == 1:
            raise ValueError

    report = deliver(acked, {SINK: refuse_first})
    assert (report.delivered, report.failed) == (2, 1)


def test_an_id_whose_process_crashed_is_delivered_again(acked: Journal) -> None:
    assert len(acked.callbacks.claim(SINK, None, 10, 1, now_ms() - 10)) == 3
    assert deliver(acked, {SINK: lambda _: None}).delivered == 3


def test_other_sinks_are_left_alone(acked: Journal) -> None:
    assert deliver(acked, {"app:other": lambda _: None}) == CallbackReport()
    assert acked.callbacks.due(None, now_ms())[0] == [SINK]


def test_the_ids_of_a_living_process_are_delivered_by_that_process_alone(path: Path) -> None:
    writer = SpoolWriter(path)
    writer.call("question", "answer", at=1_790_000_000_000, sink=SINK)
    with Journal.open(path) as journal:
        acknowledge(journal)
        assert deliver(journal, {SINK: lambda _: None}) == CallbackReport()
        assert deliver(journal, {SINK: lambda _: None}, writer.writer).delivered == 1
    writer.close()


def skip_time(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    moved = now_ms() + int(seconds * 1000)
    set_time(monkeypatch, moved)


def set_time(monkeypatch: pytest.MonkeyPatch, ms: int) -> None:
    for module in ("journal.callbacks", "callbacks.worker", "callbacks.dispatcher"):
        monkeypatch.setattr(f"plsync.{module}.now_ms", lambda: ms)


def test_the_wait_after_failures_grows_to_ten_hours(acked: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    now = now_ms()
    for _ in range(MAX_ATTEMPTS - 1):
        set_time(monkeypatch, now)
        deliver(acked, {SINK: lambda _: 1 / 0})
        following = acked.callbacks.due(None, now)[1]
        assert following is not None
        waits.append((following - now) / 1000)
        now = following + 10_000_000
    assert 4 <= waits[0] <= 5
    assert waits[:-1] == sorted(waits[:-1])
    assert max(waits) <= 36_000
    assert sum(waits) > 20 * 3600
