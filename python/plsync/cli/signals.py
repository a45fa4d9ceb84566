"""The signals that end a command, or let it read its settings again."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final

import typer

from plsync.cli.output import print_note
from plsync.cli.systemd import notify

__all__ = ["stoppable", "until_signalled"]

# Windows has no such signal.
_HANG_UP: Final[signal.Signals | None] = getattr(signal, "SIGHUP", None)


@contextlib.contextmanager
def stoppable(note: str) -> Iterator[None]:
    """End the command on SIGINT, SIGTERM and SIGHUP: the block gets KeyboardInterrupt, and cleans up.

    The exit code is 128 and the number of the signal, as a shell reports it.

    Args:
        note: printed then: the state that the command leaves, and the way on.
    """
    received: int = signal.SIGINT

    def interrupt(number: int, _frame: Any) -> None:
        nonlocal received
        received = number
        raise KeyboardInterrupt

    numbers: list[int] = [signal.SIGTERM]
    if _HANG_UP is not None and signal.getsignal(_HANG_UP) is not signal.SIG_IGN:
        numbers.append(_HANG_UP)
    previous = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    except KeyboardInterrupt:
        # The terminal may be gone.
        with contextlib.suppress(OSError):
            print_note(f"plsync: stopped; {note}")
        raise typer.Exit(128 + received) from None
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def until_signalled(stop: Callable[[], None], reload: Callable[[], None] | None) -> Iterator[None]:
    """Call ``stop`` on SIGINT, SIGTERM and SIGHUP. A repeated SIGINT or SIGTERM raises KeyboardInterrupt.

    Args:
        stop: ends the run. It waits a moment for responses, and stores them.
        reload: reads the settings again. SIGHUP calls it, except for the SIGHUP of a terminal that has gone. None:
            every SIGHUP ends the run.
    """
    is_stopping = False
    is_stop_requested = False
    had_terminal = _has_terminal()

    def handle(number: int, _frame: Any) -> None:
        nonlocal is_stopping, is_stop_requested
        # A closing session sends SIGHUP together with SIGTERM, and often twice. A repeated SIGTERM is of a person.
        if is_stop_requested and number != _HANG_UP:
            raise KeyboardInterrupt
        if number == _HANG_UP and reload is not None and not (had_terminal and not _has_terminal()):
            if not is_stopping:
                reload()
            return
        is_stop_requested = is_stop_requested or number != _HANG_UP
        if is_stopping:
            return
        is_stopping = True
        stop()
        notify("STOPPING=1")
        # The signal may have interrupted another print to the same stream, which Python forbids.
        with contextlib.suppress(RuntimeError):
            again = "" if number == _HANG_UP else "; repeat it to stop at once"
            print_note(f"plsync: {signal.Signals(number).name}: finishing open requests{again}")

    numbers = [signal.SIGINT, signal.SIGTERM]
    # nohup has it ignored, so that the process outlives the session.
    if _HANG_UP is not None and signal.getsignal(_HANG_UP) is not signal.SIG_IGN:
        numbers.append(_HANG_UP)
    previous = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _has_terminal() -> bool:
    """Whether this process has a controlling terminal that has not hung up."""
    if sys.platform == "win32":
        return False
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
    except OSError:
        return False
    return True
