"""Delivery in threads: no sink delays another sink, another record or the sender."""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from plsync._common.clock import now_ms
from plsync.callbacks.dispatcher import CallbackDispatcher
from plsync.callbacks.sink_thread import SinkThread
from plsync.callbacks.worker import MAX_ATTEMPTS
from plsync.errors import JournalError, SinkUnavailable
from plsync.journal import Journal
from plsync.journal.callbacks import LEASE, CallbackQueue
from plsync.journal.record import Record
from tests.support import programs
from tests.support.calls import AT, wait_until
from tests.support.spooling import SpoolWriter

FAST, SLOW = "app:fast", "app:slow"


class LiveFunctions:
    """Finds functions by the names of their sinks."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        self._functions = functions

    def may_find(self, sink: str) -> bool:
        return sink in self._functions

    def find(self, sink: str) -> Callable[..., Any]:
        if sink not in self._functions:
            raise SinkUnavailable(sink)
        return self._functions[sink]


@contextlib.contextmanager
def calls(path: Path, sinks: Sequence[str]) -> Iterator[Journal]:
    """The journal of a process that has ended, with a call for each sink."""
    writer = SpoolWriter(path)
    for number, sink in enumerate(sinks):
        writer.call(f"question {number}", sink, at=AT + number, sink=sink)
    writer.close()
    with Journal.open(path) as journal:
        journal.ingest(wait=True)
        yield journal


@contextlib.contextmanager
def delivering(journal: Journal, functions: Mapping[str, Callable[..., Any]]) -> Iterator[CallbackDispatcher]:
    dispatcher = CallbackDispatcher(journal, functions=LiveFunctions(functions))
    dispatcher.start()
    try:
        yield dispatcher
    finally:
        assert dispatcher.stop(30)


def ack(journal: Journal, seqs: Sequence[int]) -> None:
    journal.outbox.ack([(seq, 1000 + seq) for seq in seqs])


def delivered(dispatcher: CallbackDispatcher) -> int:
    return sum(report.delivered for report in dispatcher.reports())


def test_a_thousand_callbacks_are_delivered_beside_one_that_does_not_return(path: Path) -> None:
    blocked = threading.Event()
    received: list[int] = []

    def hang(request_id: int) -> None:
        assert blocked.wait(60)

    with calls(path, [SLOW, *[FAST] * 1000]) as journal:
        ack(journal, range(1, 1002))
        with delivering(journal, {SLOW: hang, FAST: received.append}) as dispatcher:
            wait_until(lambda: len(received) == 1000)
            blocked.set()
            assert dispatcher.finish(30)
            assert delivered(dispatcher) == 1001
    assert sorted(received) == list(range(1002, 2002))


def test_a_callback_that_raises_delays_no_other_id(path: Path) -> None:
    received: list[int] = []

    def raise_for_odd(request_id: int) -> None:
        if request_id % 2:
            raise ValueError
        received.append(request_id)

    with calls(path, [SLOW, FAST] * 20) as journal:
        ack(journal, range(1, 41))
        with delivering(journal, {SLOW: raise_for_odd, FAST: received.append}) as dispatcher:
            assert dispatcher.finish(30)
            (report,) = dispatcher.reports()
    assert (report.delivered, report.failed) == (20, 20)
    assert sorted(received) == list(range(1002, 1041, 2))


def test_a_long_call_does_not_delay_other_ids_of_its_sink(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plsync.callbacks.worker.LONG_CALL", 0.2)
    blocked = threading.Event()
    received: list[int] = []

    def hang_once(request_id: int) -> None:
        if request_id == 1003:
            assert blocked.wait(60)
        received.append(request_id)

    with calls(path, [FAST] * 50) as journal:
        ack(journal, range(1, 51))
        with delivering(journal, {FAST: hang_once}) as dispatcher:
            wait_until(lambda: len(received) == 49)
            assert 1003 not in received
            blocked.set()
            assert dispatcher.finish(30)
            reports = dispatcher.reports()
    assert sum(report.delivered for report in reports) == 50
    assert any("takes more than" in line for report in reports for line in report.errors)
    assert len(received) == 50


def test_a_stop_waits_for_a_hanging_callback_no_longer_than_its_timeout(path: Path) -> None:
    blocked, begun = threading.Event(), threading.Event()

    def hang(request_id: int) -> None:
        begun.set()
        blocked.wait(60)

    with calls(path, [SLOW] * 3) as journal:
        ack(journal, [1, 2, 3])
        dispatcher = CallbackDispatcher(journal, functions=LiveFunctions({SLOW: hang}))
        dispatcher.start()
        assert begun.wait(30)
        began = time.monotonic()
        assert not dispatcher.stop(0.2)
        assert time.monotonic() - began < 10
        now = time.time_ns() // 1_000_000
        # Ids that were not delivered are due at once. The hanging call's id is due after its lease.
        again = journal.callbacks.claim(SLOW, None, 10, 60_000, now)
        assert [(entry.seq, entry.attempts) for entry in again] == [(2, 0), (3, 0)]
        (late,) = journal.callbacks.claim(SLOW, None, 1, 1000, now + 31_000)
        assert (late.seq, late.attempts) == (1, 1)
        blocked.set()
        assert dispatcher.stop(30)


def test_a_long_call_keeps_its_lease(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plsync.callbacks.dispatcher._EXTEND", 0.01)
    monkeypatch.setattr("plsync.callbacks.dispatcher._MAINTENANCE_INTERVAL", 0.01)
    release, begun = threading.Event(), threading.Event()
    extend, extended = CallbackQueue.extend, [0]

    def noted(queue: CallbackQueue, sink: str, seqs: Sequence[int]) -> None:
        at = now_ms()
        extend(queue, sink, seqs)
        extended.append(at)

    def work(request_id: int) -> None:
        begun.set()
        assert release.wait(60)

    monkeypatch.setattr(CallbackQueue, "extend", noted)
    with calls(path, [SLOW] * 2) as journal:
        ack(journal, [1, 2])
        with delivering(journal, {SLOW: work}) as dispatcher:
            assert begun.wait(30)
            called = now_ms()
            wait_until(lambda: extended[-1] > called)
            # The lease of the claim has ended, and the extended lease has not.
            assert journal.callbacks.claim(SLOW, None, 10, 1, called + int(LEASE * 1000)) == []
            release.set()
            assert dispatcher.finish(30)
            assert delivered(dispatcher) == 2


def test_ids_that_another_process_stores_are_delivered(path: Path) -> None:
    received: list[int] = []
    program = (
        "import sys\n"
        "from plsync import Journal\n"
        "with Journal.open(sys.argv[1]) as journal: journal.outbox.ack([(1, 7), (2, 8)])\n"
    )
    with calls(path, [FAST, FAST]) as journal, delivering(journal, {FAST: received.append}):
        programs.run([sys.executable, "-c", program, str(path)], check=True, timeout=60)
        wait_until(lambda: sorted(received) == [7, 8])


def test_each_sink_receives_its_own_ids_in_any_order(path: Path) -> None:
    order = random.Random(5)  # noqa: S311 - so that a failure can be reproduced
    sinks = [order.choice(["app:a", "app:b", "app:c"]) for _ in range(90)]
    received: dict[str, list[int]] = defaultdict(list)
    functions = {sink: received[sink].append for sink in ("app:a", "app:b", "app:c")}
    seqs = list(range(1, 91))
    order.shuffle(seqs)
    with calls(path, sinks) as journal, delivering(journal, functions) as dispatcher:
        for start in range(0, 90, 7):
            ack(journal, seqs[start : start + 7])
            dispatcher.ring()
        wait_until(lambda: sum(map(len, received.values())) == 90)
        assert dispatcher.finish(30)
    for sink, ids in received.items():
        assert sorted(ids) == [1001 + at for at, of in enumerate(sinks) if of == sink]


def test_a_hundred_sinks_share_16_threads(path: Path) -> None:
    at_once: set[int] = set()
    most = 0
    received: list[int] = []
    met = threading.Event()

    def take(request_id: int) -> None:
        nonlocal most
        at_once.add(request_id)
        most = max(most, len(at_once))
        if most > 1:
            met.set()
        assert met.wait(30)
        at_once.discard(request_id)
        received.append(request_id)

    sinks = [f"app:sink{number}" for number in range(100)]
    with calls(path, sinks) as journal:
        ack(journal, range(1, 101))
        with delivering(journal, dict.fromkeys(sinks, take)) as dispatcher:
            assert dispatcher.finish(60)
    assert sorted(received) == list(range(1001, 1101))
    assert 1 < most <= 16


def test_results_that_could_not_be_stored_are_stored_later_without_another_call(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plsync.callbacks.dispatcher._REVISIT", 0.1)
    settle, refusals = CallbackQueue.settle, [JournalError("the disk is full")] * 3

    def full_at_first(queue: CallbackQueue, sink: str, **settled: Any) -> None:
        if refusals:
            raise refusals.pop()
        settle(queue, sink, **settled)

    monkeypatch.setattr(CallbackQueue, "settle", full_at_first)
    received: list[int] = []
    with calls(path, [FAST] * 5) as journal:
        ack(journal, range(1, 6))
        with delivering(journal, {FAST: received.append}) as dispatcher:
            reports = []

            def stored() -> int:
                reports.extend(dispatcher.reports())
                return sum(report.delivered for report in reports)

            # A report comes a moment after its results are stored.
            wait_until(lambda: stored() == 5)
            assert journal.stats().callbacks == 0
    assert sorted(received) == list(range(1001, 1006))
    assert any("the disk is full" in line for report in reports for line in report.errors)


def test_ids_are_delivered_once_a_thread_can_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("plsync.callbacks.dispatcher._MAINTENANCE_INTERVAL", 0.05)
    attempts = 0
    is_full = True

    def start(thread: SinkThread) -> None:
        nonlocal attempts
        attempts += 1
        if is_full:
            raise RuntimeError("can't start new thread")
        threading.Thread.start(thread)

    monkeypatch.setattr(SinkThread, "start", start)
    received: list[int] = []
    with calls(path, [FAST]) as journal:
        ack(journal, [1])
        with delivering(journal, {FAST: received.append}) as dispatcher:
            wait_until(lambda: attempts > 0)
            # Between two attempts lies a pause: the dispatcher must not spin.
            before = attempts
            assert not dispatcher.finish(0.5)
            assert attempts - before <= 20
            assert received == []
            is_full = False
            assert dispatcher.finish(30)
            (report,) = dispatcher.reports()
    assert received == [1001]
    assert any("can't start new thread" in line for line in report.errors)


def test_sinks_without_a_function_are_left_alone(path: Path) -> None:
    received: list[int] = []
    with calls(path, [FAST, "app:elsewhere"]) as journal:
        ack(journal, [1, 2])
        with delivering(journal, {FAST: received.append}) as dispatcher:
            assert dispatcher.finish(30)
    assert received == [1001]


def test_a_function_that_turns_out_to_be_missing_delays_nothing(path: Path) -> None:
    received: list[int] = []

    class TooHopeful(LiveFunctions):
        def may_find(self, sink: str) -> bool:
            return sink == FAST or not received

    with calls(path, [SLOW, FAST]) as journal:
        ack(journal, [1, 2])
        dispatcher = CallbackDispatcher(journal, functions=TooHopeful({FAST: received.append}))
        dispatcher.start()
        assert dispatcher.finish(30)
        assert dispatcher.stop(30)
    assert received == [1002]


def test_an_id_whose_callback_ends_the_process_is_dead_after_ten_attempts(path: Path) -> None:
    now = time.time_ns() // 1_000_000
    with calls(path, [FAST] * 3) as journal:
        ack(journal, [1, 2, 3])
        # The process dies in each attempt: first with a batch, then with its first id alone.
        journal.callbacks.claim(FAST, None, 3, 0, now - 1000)
        for _ in range(MAX_ATTEMPTS - 1):
            (alone,) = journal.callbacks.claim(FAST, None, 3, 0, now - 1000)
            assert alone.seq == 1
        received: list[int] = []
        with delivering(journal, {FAST: received.append}) as dispatcher:
            assert dispatcher.finish(30)
            (report,) = dispatcher.reports()
        assert (report.delivered, report.dead) == (2, 1)
        assert sorted(received) == [1002, 1003]
        (waiting,) = journal.callbacks.waiting()
        assert (waiting.dead, waiting.last_error) == (
            1,
            "was called 10 times, and each time the process ended before the call did",
        )


def test_async_callbacks_of_a_sink_keep_their_loop_while_ids_come(path: Path) -> None:
    loops: list[asyncio.AbstractEventLoop] = []

    async def on_id(request_id: int, record: Record) -> None:
        loops.append(asyncio.get_running_loop())

    with calls(path, [FAST] * 4) as journal, delivering(journal, {FAST: on_id}) as dispatcher:
        for seq in (1, 2, 3, 4):
            ack(journal, [seq])
            assert dispatcher.finish(30)
    assert len(loops) == 4
    assert len(set(loops)) == 1
    assert loops[0].is_closed()


def test_a_report_is_returned_once(path: Path) -> None:
    with calls(path, [FAST] * 2) as journal:
        ack(journal, [1, 2])
        with delivering(journal, {FAST: lambda _: None}) as dispatcher:
            assert dispatcher.finish(30)
            assert delivered(dispatcher) == 2
            assert dispatcher.reports() == []


def test_finish_returns_after_its_timeout(path: Path) -> None:
    blocked = threading.Event()
    with calls(path, [SLOW]) as journal:
        ack(journal, [1])
        with delivering(journal, {SLOW: lambda _: blocked.wait(60)}) as dispatcher:
            assert not dispatcher.finish(0.3)
            blocked.set()
            assert dispatcher.finish(30)
