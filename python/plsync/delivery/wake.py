"""Waiting until there is something to do: a new event, a change of the network, a stop, or a moment."""

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

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Wake", "Woken"]

# How soon a machine that was asleep goes on; and where nothing tells of new events, how often they are looked for.
_SLICE: Final = 5.0
_SLICE_WITHOUT_WATCH: Final = 0.5

# linux/rtnetlink.h: links, addresses and routes that come and go.
_ROUTE_GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400


class Woken(Flag):
    """Why a wait was over; nothing when its time was."""

    NOTHING = 0
    RECORDED = auto()
    """There may be events to take in."""
    RUNG = auto()
    """The doorbell rang: there may be request ids, or follow-ups."""
    NETWORK = auto()
    """A link, an address or a route of this machine came or went."""
    CALLED = auto()
    """Somebody called :meth:`Wake.call`."""


class Wake:
    """Waits for what concerns one journal. One thread waits; any thread, and a signal handler, may call."""

    def __init__(self, journal: Path) -> None:
        """Begin to watch. What happens between two waits is not missed."""
        from plsync._common.native import Watch  # noqa: PLC0415 - loaded with the first store anyway

        self._watch = Watch(str(journal))
        self._selector = selectors.DefaultSelector()
        self._called, self._caller = socket.socketpair()
        self._caller.setblocking(False)
        self._selector.register(self._called, selectors.EVENT_READ, Woken.CALLED)
        self._watched = self._watch.descriptor()
        if self._watched is not None:
            self._selector.register(self._watched, selectors.EVENT_READ, Woken.RECORDED)
        self._network = _network_changes()
        if self._network is not None:
            self._selector.register(self._network, selectors.EVENT_READ, Woken.NETWORK)

    def __enter__(self) -> Self:
        """The same."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching."""
        self._selector.close()
        for held in (self._called, self._caller, self._network):
            if held is not None:
                held.close()

    def call(self) -> None:
        """End a wait, also one that begins later."""
        # A full buffer has enough calls in it; and who is closed waits for nothing.
        with contextlib.suppress(OSError):
            self._caller.send(b"!")

    def wait(self, seconds: float, until: Woken) -> Woken:
        """Wait so long, or until one of these happens; a call always ends it. Time asleep counts."""
        deadline = elapsed() + seconds
        woken = Woken.NOTHING
        while not woken & (until | Woken.CALLED) and (left := deadline - elapsed()) > 0:
            woken = self._wait_once(min(left, _SLICE if self._watched is not None else _SLICE_WITHOUT_WATCH))
        return woken

    def _wait_once(self, seconds: float) -> Woken:
        ready = {key.data for key, _ in self._selector.select(seconds)}
        woken = Woken.NOTHING
        if Woken.CALLED in ready:
            self._called.recv(4096)
            woken |= Woken.CALLED
        if Woken.NETWORK in ready and self._network is not None:
            _drain(self._network)
            woken |= Woken.NETWORK
        if Woken.RECORDED in ready or self._watched is None:
            recorded, rung = self._watch.look()
            woken |= (Woken.RECORDED if recorded else Woken.NOTHING) | (Woken.RUNG if rung else Woken.NOTHING)
        return woken


def _network_changes() -> socket.socket | None:
    """A socket that tells of changes of this machine's network, where the system has one."""
    if sys.platform != "linux":
        return None
    try:
        changes = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
        changes.bind((0, _ROUTE_GROUPS))
    except OSError:  # a container may forbid it; the pauses then tell
        return None
    return changes


def _drain(changes: socket.socket) -> None:
    # Which change it was does not matter; a queue that ran over (ENOBUFS) is a change as well.
    with contextlib.suppress(OSError):
        while changes.recv(65536):
            pass
