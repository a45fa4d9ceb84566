"""Service notifications for systemd, as sd_notify(3) describes them: one datagram per notification."""

from __future__ import annotations

import contextlib
import math
import os
import socket
import sys

from plsync._common.clock import elapsed
from plsync._terminal import visible_line

__all__ = ["Watchdog", "notify"]


class Watchdog:
    """The watchdog of systemd: it restarts a service whose loop has stopped turning.

    systemd sets ``WATCHDOG_USEC`` for a unit with ``WatchdogSec=``.
    """

    def __init__(self) -> None:
        timeout = os.environ.get("WATCHDOG_USEC", "")
        is_own = os.environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.interval = int(timeout) / 2e6 if is_own and timeout.isdecimal() and int(timeout) else math.inf
        """Seconds between two notifications: half of the timeout. Infinite without a watchdog."""
        self._sent_at = -math.inf

    def turn(self) -> None:
        """Notify the watchdog, if it is time. For each turn of the loop."""
        now = elapsed()
        if math.isfinite(self.interval) and now - self._sent_at >= self.interval:
            self._sent_at = now
            notify("WATCHDOG=1")


def notify(*states: str) -> None:
    """Send states such as ``READY=1`` to systemd; does nothing unless systemd started this process."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address or sys.platform == "win32":
        return
    # A missing or unreachable service manager must not stop the delivery.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        # An address that begins with @ is in Linux's abstract namespace.
        manager.connect("\0" + address[1:] if address.startswith("@") else address)
        # A status may quote a server. Its text must not add a state, or steer a terminal that shows the status.
        manager.sendall("\n".join(map(visible_line, states)).encode())
