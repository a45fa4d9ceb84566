"""Waits of a run: the events that end them, and the effect of a change of the clock."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from plsync._common import clock
from plsync.delivery.breaker import Breaker
from plsync.delivery.policy import SendPolicy
from plsync.delivery.wake import Wake, WakeReason
from plsync.journal import Journal
from plsync.promptlayer.outcomes import Ambiguous, Throttled, Unreachable
from tests.support.namespace import PREFIX, needs_namespace

LONG = 60.0


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal", create=True) as journal:
        yield journal


@pytest.fixture
def wake(journal: Journal) -> Iterator[Wake]:
    with Wake(journal.path) as wake:
        yield wake


def test_an_event_of_another_process_ends_a_wait(journal: Journal, wake: Wake) -> None:
    code = "import sys; from plsync import Journal; Journal.open(sys.argv[1]).append(b'x')"
    with subprocess.Popen([sys.executable, "-c", code, str(journal.path)]):
        assert wake.wait(LONG, WakeReason.RECORDED) is WakeReason.RECORDED


def test_an_event_between_two_waits_is_not_missed(journal: Journal, wake: Wake) -> None:
    journal.append(b"x")
    assert wake.wait(LONG, WakeReason.RECORDED) is WakeReason.RECORDED


def test_a_follow_up_ends_a_wait(journal: Journal, wake: Wake) -> None:
    journal.track.score(7, 90)
    assert wake.wait(LONG, WakeReason.RUNG) is WakeReason.RUNG


def test_an_event_outside_of_until_does_not_interrupt(journal: Journal, wake: Wake) -> None:
    journal.append(b"x")
    assert wake.wait(0.5, WakeReason.NETWORK) is not WakeReason.INTERRUPTED


def test_an_interrupt_ends_any_wait(wake: Wake) -> None:
    threading.Timer(0.05, wake.interrupt).start()
    assert WakeReason.INTERRUPTED in wake.wait(LONG, WakeReason.NOTHING)


def test_an_interrupt_before_the_wait_ends_it(wake: Wake) -> None:
    for _ in range(100_000):
        wake.interrupt()
    assert WakeReason.INTERRUPTED in wake.wait(LONG, WakeReason.NOTHING)


@needs_namespace
def test_a_change_of_the_network_ends_a_wait(journal: Journal) -> None:
    watch = (
        "import subprocess, sys\n"
        "from pathlib import Path\n"
        "from plsync.delivery.wake import Wake, WakeReason\n"
        "with Wake(Path(sys.argv[1])) as wake:\n"
        "    subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)\n"
        "    print(wake.wait(60, WakeReason.NETWORK))\n"
    )
    command = [*PREFIX, sys.executable, "-c", watch, str(journal.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.strip() == str(WakeReason.NETWORK)


def test_time_asleep_counts_as_waiting(journal: Journal, wake: Wake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that sleeps stops its monotonic clock. A wait uses a clock that runs on."""
    begun, asleep = clock.elapsed(), iter([0.0, 1.0, 3600.0])
    monkeypatch.setattr("plsync.delivery.wake.elapsed", lambda: begun + next(asleep))
    monkeypatch.setattr("plsync.delivery.wake._SLICE", 0.01)
    assert wake.wait(600, WakeReason.NOTHING) is WakeReason.NOTHING


def test_a_change_of_the_wall_clock_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = clock.WallClock()
    assert wall.set_since() is None
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    assert wall.now_ms() == pytest.approx(now * 1000, abs=5000)
    found = wall.set_since()
    assert found is not None
    before, after = found
    assert before - after == pytest.approx(3_600_000, abs=5000)
    assert wall.now_ms() == pytest.approx(after, abs=5000)
    assert wall.set_since() is None


def test_probes_are_frequent_at_first_and_rare_without_a_network_for_long() -> None:
    policy = SendPolicy()
    assert {policy.pause(n, Unreachable(""), since=10.0 * n) <= 1.5 for n in range(1, 60)} == {True}
    assert max(policy.pause(500, Unreachable(""), since=86_400.0) for _ in range(200)) > 15


def test_pauses_after_failures_grow_and_a_success_ends_them() -> None:
    breaker = Breaker(SendPolicy(longest_pause=60.0))
    pauses = [breaker.open(Ambiguous("")) for _ in range(50)]
    assert max(pauses[:1]) <= 2
    assert max(pauses) <= 60
    assert breaker.half_open
    breaker.close()
    assert not breaker.half_open
    assert breaker.open(Throttled("", retry_after=7.0)) == 7.0
