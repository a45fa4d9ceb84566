"""Telling systemd how a service goes (sd_notify(3)): one datagram, for which a library would be longer than this."""

from __future__ import annotations

import contextlib
import os
import socket
import sys

__all__ = ["notify"]


def notify(*states: str) -> None:
    """Say this, e.g. ``READY=1``, if systemd started this process and wants to know."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address or sys.platform == "win32":
        return
    # A manager that is gone, or not allowed to be told, must not stop the delivery.
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        # An address that begins with @ is in Linux's abstract namespace.
        manager.connect("\0" + address[1:] if address.startswith("@") else address)
        manager.sendall("\n".join(states).encode())
