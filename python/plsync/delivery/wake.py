"""Waits until a run has work: a new event, the doorbell, a change of the network, an interrupt, or a due time."""

from __future__ import annotations

import contextlib
import selectors
import socket
import sys
from enum import Flag, auto
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final

from plsync._common.clock import elapsed
from plsync.errors import JournalError

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Wake", "WakeReason"]

# The longest single wait, in seconds: a machine that was asleep continues this soon. Without a file watch each slice
# also looks for new events.
_SLICE: Final = 5.0
_SLICE_WITHOUT_WATCH: Final = 0.5

# Groups of linux/rtnetlink.h: links, addresses and routes that come and go.
_ROUTE_GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400


class WakeReason(Flag):
    """The reasons for which a wait ended; ``NOTHING`` after its full time."""

    NOTHING = 0
    RECORDED = auto()
    """The spool may hold new events."""
    RUNG = auto()
    """The doorbell rang: the journal may hold new request ids or follow-ups."""
    NETWORK = auto()
    """A link, an address or a route of this machine came or went."""
    INTERRUPTED = auto()
    """A thread called :meth:`Wake.interrupt`."""


class Wake:
    """Waits for changes that concern one journal. The object keeps the changes between two waits.

    One thread waits. Any thread, and a signal handler, may interrupt.

    Args:
        journal: the journal's directory.
    """

    def __init__(self, journal: Path) -> None:
        from plsync._common.native import Watch  # noqa: PLC0415 - loaded with the first store anyway

        self._watch = Watch(str(journal))
        self._selector = selectors.DefaultSelector()
        self._interrupts, self._interrupter = socket.socketpair()
        self._interrupter.setblocking(False)
        self._selector.register(self._interrupts, selectors.EVENT_READ, WakeReason.INTERRUPTED)
        self._watched = self._watch.descriptor()
        if self._watched is not None:
            self._selector.register(self._watched, selectors.EVENT_READ, WakeReason.RECORDED)
        self._network = _network_changes()
        if self._network is not None:
            self._selector.register(self._network, selectors.EVENT_READ, WakeReason.NETWORK)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._selector.close()
        for held in (self._interrupts, self._interrupter, self._network):
            if held is not None:
                held.close()

    def interrupt(self) -> None:
        """End the present wait, or the next one."""
        # A full buffer already holds an interrupt, and a closed socket has no waiting thread.
        with contextlib.suppress(OSError):
            self._interrupter.send(b"!")

    def wait(self, seconds: float, until: WakeReason) -> WakeReason:
        """Wait until one of the reasons in ``until``, an interrupt, or the end of the time.

        Args:
            seconds: the longest wait. The time that the machine sleeps counts.
            until: the reasons that end the wait.
        """
        deadline = elapsed() + seconds
        reasons = WakeReason.NOTHING
        while not reasons & (until | WakeReason.INTERRUPTED) and (left := deadline - elapsed()) > 0:
            reasons = self._wait_once(min(left, _SLICE if self._watched is not None else _SLICE_WITHOUT_WATCH))
        return reasons

    def _wait_once(self, seconds: float) -> WakeReason:
        ready = {key.data for key, _ in self._selector.select(seconds)}
        reasons = WakeReason.NOTHING
        if WakeReason.INTERRUPTED in ready:
            self._interrupts.recv(4096)
            reasons |= WakeReason.INTERRUPTED
        if WakeReason.NETWORK in ready and self._network is not None:
            _drain(self._network)
            reasons |= WakeReason.NETWORK
        if WakeReason.RECORDED in ready or self._watched is None:
            recorded, rung = self._poll()
            reasons |= (WakeReason.RECORDED if recorded else WakeReason.NOTHING) | (
                WakeReason.RUNG if rung else WakeReason.NOTHING
            )
        return reasons

    def _poll(self) -> tuple[bool, bool]:
        try:
            return self._watch.poll()
        except JournalError:  # no descriptor left, or the journal is gone: the next round reports that
            return True, True
        finally:
            if self._watched is not None and self._watch.descriptor() is None:
                self._selector.unregister(self._watched)
                self._watched = None


def _network_changes() -> socket.socket | None:
    """A socket that receives changes of this machine's network; None on systems without one."""
    if sys.platform != "linux":
        return None
    try:
        changes = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        changes.bind((0, _ROUTE_GROUPS))
    except OSError:  # a container may forbid it; the run then waits out its pauses
        return None
    return changes


def _drain(changes: socket.socket) -> None:
    # The kind of change does not matter. A queue that ran over (ENOBUFS) is a change as well.
    with contextlib.suppress(OSError):
        while changes.recv(65536):
            pass
