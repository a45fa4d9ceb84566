"""A fork does not cut the work of plsync's threads in two."""

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


def child_says(question: Callable[[], bool]) -> bool:
    """What a forked child answers."""
    pid = os.fork()
    if pid == 0:
        os._exit(0 if question() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def test_a_child_finds_the_work_done_that_had_begun() -> None:
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
    assert child_says(lambda: state == ["half", "whole"])
    thread.join()


def test_a_fork_does_not_wait_for_ever_and_the_child_can_work() -> None:
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
    assert child_says(works)
    over.set()
    thread.join()
    # The parent's is as it was: held once, and let go by who held it.
    assert works()


def test_parent_and_child_both_go_on_after_a_fork() -> None:
    work = ForkGuard(60)

    def works() -> bool:
        with work:
            return True

    assert child_says(works)
    assert works()
