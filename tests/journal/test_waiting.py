"""A call waits while another process ingests. A signal ends the wait only if its handler raises."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from plsync import Journal

if sys.platform == "win32":
    pytest.skip("there are no such signals", allow_module_level=True)

import fcntl


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.open(tmp_path / "journal", create=True) as opened:
        opened.append(b"kept")
        yield opened


@pytest.fixture
def release(journal: Journal) -> Iterator[Callable[[], None]]:
    """Hold the ingest lock, like another process, until the test calls this function."""
    with (journal.path / "ingest.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield lambda: fcntl.flock(lock, fcntl.LOCK_UN)


@pytest.fixture
def on_signal() -> Iterator[Callable[[Callable[[], Any]], None]]:
    """Sets a function as the handler of a signal that arrives soon."""

    def handle(function: Callable[[], Any]) -> None:
        def handler(number: int, frame: FrameType | None) -> None:
            function()

        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, 0.1)

    yield handle
    signal.signal(signal.SIGALRM, signal.SIG_DFL)


OnSignal = Callable[[Callable[[], Any]], None]


@pytest.mark.parametrize("wait", [Journal.flush, Journal.compact])
def test_a_signal_is_handled_and_the_wait_continues(
    wait: Callable[[Journal], Any], journal: Journal, release: Callable[[], None], on_signal: OnSignal
) -> None:
    on_signal(release)
    wait(journal)
    assert journal.flush().journaled == 1


@pytest.mark.usefixtures("release")
def test_a_handler_that_raises_ends_the_wait(journal: Journal, on_signal: OnSignal) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    on_signal(interrupt)
    with pytest.raises(KeyboardInterrupt):
        journal.flush()
