"""Waiting: what ends a wait, and what a clock that is set does to it."""

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
from plsync.delivery.policy import Policy
from plsync.delivery.wake import Wake, Woken
from plsync.journal import Journal
from plsync.promptlayer.outcomes import Ambiguous, Offline, Throttled
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
        assert wake.wait(LONG, Woken.RECORDED) is Woken.RECORDED


def test_an_event_between_two_waits_is_not_missed(journal: Journal, wake: Wake) -> None:
    journal.append(b"x")
    assert wake.wait(LONG, Woken.RECORDED) is Woken.RECORDED


def test_a_follow_up_ends_a_wait(journal: Journal, wake: Wake) -> None:
    journal.track.score(7, 90)
    assert wake.wait(LONG, Woken.RUNG) is Woken.RUNG


def test_what_is_not_waited_for_ends_no_wait(journal: Journal, wake: Wake) -> None:
    journal.append(b"x")
    assert wake.wait(0.5, Woken.NETWORK) is not Woken.CALLED


def test_a_call_ends_any_wait(wake: Wake) -> None:
    threading.Timer(0.05, wake.call).start()
    assert Woken.CALLED in wake.wait(LONG, Woken.NOTHING)


def test_a_call_before_the_wait_ends_it(wake: Wake) -> None:
    for _ in range(100_000):
        wake.call()
    assert Woken.CALLED in wake.wait(LONG, Woken.NOTHING)


@needs_namespace
def test_a_change_of_the_network_ends_a_wait(journal: Journal) -> None:
    watch = (
        "import subprocess, sys\n"
        "from pathlib import Path\n"
        "from plsync.delivery.wake import Wake, Woken\n"
        "with Wake(Path(sys.argv[1])) as wake:\n"
        "    subprocess.run(['ip', 'link', 'set', 'lo', 'up'], check=True)\n"
        "    print(wake.wait(60, Woken.NETWORK))\n"
    )
    command = [*PREFIX, sys.executable, "-c", watch, str(journal.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.strip() == str(Woken.NETWORK)


def test_time_asleep_counts(journal: Journal, wake: Wake, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that sleeps stops its monotonic clock; the wait is measured by one that runs on."""
    begun, asleep = clock.elapsed(), iter([0.0, 1.0, 3600.0])
    monkeypatch.setattr("plsync.delivery.wake.elapsed", lambda: begun + next(asleep))
    monkeypatch.setattr("plsync.delivery.wake._SLICE", 0.01)
    assert wake.wait(600, Woken.NOTHING) is Woken.NOTHING


def test_a_clock_that_is_set_is_noticed_once(monkeypatch: pytest.MonkeyPatch) -> None:
    wall = clock.WallClock()
    assert wall.set_since() is None
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now - 3600)
    found = wall.set_since()
    assert found is not None
    before, after = found
    assert before - after == pytest.approx(3_600_000, abs=5000)
    assert wall.set_since() is None


def test_a_network_that_flaps_is_looked_for_often_and_one_long_gone_seldom() -> None:
    policy = Policy()
    assert {policy.pause(n, Offline(""), since=10.0 * n) <= 1.5 for n in range(1, 60)} == {True}
    assert max(policy.pause(500, Offline(""), since=86_400.0) for _ in range(200)) > 15


def test_pauses_after_failures_grow_and_a_success_ends_them() -> None:
    breaker = Breaker(Policy(longest_pause=60.0))
    pauses = [breaker.open(Ambiguous("")) for _ in range(50)]
    assert max(pauses[:1]) <= 2
    assert max(pauses) <= 60
    assert breaker.half_open
    breaker.close()
    assert not breaker.half_open
    assert breaker.open(Throttled("", retry_after=7.0)) == 7.0
