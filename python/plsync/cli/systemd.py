"""Service notifications for systemd, as sd_notify(3) describes them: one datagram per notification."""

from __future__ import annotations

import contextlib
import os
import socket
import sys

from plsync._terminal import visible_line

__all__ = ["notify"]


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
