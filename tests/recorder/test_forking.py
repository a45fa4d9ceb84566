"""A fork waits for the work of plsync's threads."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable

import pytest

from plsync._common.background import ForkGuard

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning"),
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork"),
]


def in_child(question: Callable[[], bool]) -> bool:
    """The result of a function in a forked child."""
    pid = os.fork()
    if pid == 0:
        os._exit(0 if question() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_fork_waits_until_the_work_is_complete() -> None:
    work, begun, forking = ForkGuard(60), threading.Event(), threading.Event()
    state = []

    def halves() -> None:
        with work:
            state.append("half")
            begun.set()
            forking.wait(0.3)
            state.append("whole")

    thread = threading.Thread(target=halves)
    thread.start()
    assert begun.wait(30)
    assert in_child(lambda: state == ["half", "whole"])
    thread.join()


def test_a_fork_waits_for_a_limited_time_and_the_child_can_work() -> None:
    work, begun, over = ForkGuard(0.1), threading.Event(), threading.Event()

    def never_done() -> None:
        with work:
            begun.set()
            assert over.wait(60)

    def works() -> bool:
        with work:
            return True

    thread = threading.Thread(target=never_done)
    thread.start()
    assert begun.wait(30)
    assert in_child(works)
    over.set()
    thread.join()
    # In the parent the thread that held the guard released it.
    assert works()


def test_parent_and_child_can_work_after_a_fork() -> None:
    work = ForkGuard(60)

    def works() -> bool:
        with work:
            return True

    assert in_child(works)
    assert works()
