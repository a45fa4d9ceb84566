"""Forked child processes for tests."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

__all__ = ["SECONDS", "exit_code", "forked"]

SECONDS = 20


def forked(run: Callable[[], None]) -> int:
    """Fork a child that calls ``run`` and exits without pytest's clean-up. An alarm ends a child that hangs."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(SECONDS)
            run()
            code = 0
        finally:
            os._exit(code)
    return pid


def exit_code(pid: int) -> int:
    """The exit code of a child, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
