"""Tests without a network: Python's own audit of what is done with sockets, and an error for what leaves the machine.

It sees every connection that goes through Python's socket module, whatever client makes it; not those of libraries with
sockets of their own, such as uvloop and gRPC.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import sys
from collections.abc import Iterator

from plsync.errors import NetworkBlocked

__all__ = ["blocked"]

_ADDRESSED = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_NAMED = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})

_blocks = 0
_hooked = False


@contextlib.contextmanager
def blocked() -> Iterator[None]:
    """Raise NetworkBlocked wherever the process reaches beyond this machine, until the block ends."""
    global _blocks, _hooked  # noqa: PLW0603 - audit hooks are for the whole process, and for good
    if not _hooked:
        sys.addaudithook(_look)
        _hooked = True
    _blocks += 1
    try:
        yield
    finally:
        _blocks -= 1


def _look(event: str, args: tuple[object, ...]) -> None:
    if not _blocks or not event.startswith("socket."):
        return
    if event in _ADDRESSED:
        address = args[1]
        host = address[0] if isinstance(address, tuple) and address else None
    elif event in _NAMED:
        host = args[0]
    else:
        return
    if isinstance(host, (bytes, bytearray)):
        host = host.decode("utf-8", "replace")
    if not _is_here(host):
        raise NetworkBlocked(
            f"a test reached for {host!r}, and --plsync-block-network keeps it from the network; nothing was sent: "
            "record the call (--plsync-record=once), or use a server on this machine"
        )


def _is_here(host: object) -> bool:
    # Addresses of other families are paths or numbers: Unix sockets, the kernel's own.
    if not isinstance(host, str) or host in ("", "localhost") or host.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host == socket.gethostname()
    return address.is_loopback or address.is_unspecified
