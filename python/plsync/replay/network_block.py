"""Keeps tests off the network: an audit hook on Python's sockets raises an error on any connection to another machine.

The hook sees every connection through Python's ``socket`` module, from any HTTP client. Libraries with
other sockets, for example uvloop and gRPC, escape it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import sys
from collections.abc import Iterator
from typing import Final

from plsync.errors import NetworkBlocked

__all__ = ["block_network"]

# Audit events and the position of their host: https://docs.python.org/3/library/audit_events.html
_ADDRESS_EVENTS: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_NAME_EVENTS: Final = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})

_active_blocks = 0
_is_installed = False


@contextlib.contextmanager
def block_network() -> Iterator[None]:
    """Raise ``NetworkBlocked`` in any thread that contacts another machine, until the ``with`` block ends."""
    global _active_blocks, _is_installed  # noqa: PLW0603 - Python has no way to remove an audit hook
    if not _is_installed:
        sys.addaudithook(_check_event)
        _is_installed = True
    _active_blocks += 1
    try:
        yield
    finally:
        _active_blocks -= 1


def _check_event(event: str, args: tuple[object, ...]) -> None:
    if not _active_blocks or not event.startswith("socket."):
        return
    host = _host(event, args)
    if not _is_local(host):
        raise NetworkBlocked(
            f"a test tried to reach {host!r}, which --plsync-block-network forbids; nothing was sent: "
            "record the call (--plsync-record=once), or use a server on this machine"
        )


def _host(event: str, args: tuple[object, ...]) -> object:
    """The host that an audit event concerns; ``None`` for events and addresses without one."""
    host: object = None
    if event in _ADDRESS_EVENTS:
        address = args[1]
        host = address[0] if isinstance(address, tuple) and address else None
    elif event in _NAME_EVENTS:
        host = args[0]
    return host.decode("utf-8", "replace") if isinstance(host, (bytes, bytearray)) else host


def _is_local(host: object) -> bool:
    # Addresses of other families are paths or numbers: Unix sockets, netlink.
    if not isinstance(host, str) or host in ("", "localhost") or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host == socket.gethostname()
    return address.is_loopback or address.is_unspecified
