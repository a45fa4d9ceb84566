"""Keeps tests off the network: an audit hook on Python's sockets raises an error on any connection to another machine.

The hook sees every connection through Python's ``socket`` module, from any HTTP client. Libraries with
other sockets, for example uvloop and gRPC, escape it.
"""

from __future__ import annotations

import contextlib
import fnmatch
import ipaddress
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final

from plsync.errors import NetworkBlocked

__all__ = ["block_network"]

# Audit events and the position of their host: https://docs.python.org/3/library/audit_events.html
_ADDRESS_EVENTS: Final = frozenset({"socket.connect", "socket.sendto", "socket.sendmsg"})
_NAME_EVENTS: Final = frozenset({"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"})

_changing: Final = threading.Lock()
_allowed: Final[Counter[str]] = Counter()
# The addresses of allowed names: a connection has an address alone.
_allowed_addresses: Final[set[str]] = set()
_active_blocks = 0
_is_installed = False
_find_addresses: Final = socket.getaddrinfo


@contextlib.contextmanager
def block_network(allowed_hosts: Iterable[str] = ()) -> Iterator[None]:
    """Raise ``NetworkBlocked`` in any thread that contacts another machine, until the ``with`` block ends.

    Args:
        allowed_hosts: names, patterns like ``*.example.com``, addresses, and networks like ``10.0.0.0/8``.
    """
    global _active_blocks, _is_installed  # noqa: PLW0603 - Python has no way to remove an audit hook
    hosts = [host.lower() for host in allowed_hosts if host]
    with _changing:
        if not _is_installed:
            sys.addaudithook(_check_event)
            _is_installed = True
        _active_blocks += 1
        _allowed.update(hosts)
        if hosts and socket.getaddrinfo is _find_addresses:
            socket.getaddrinfo = _remember_addresses
    try:
        yield
    finally:
        with _changing:
            _active_blocks -= 1
            _allowed.subtract(hosts)
            if not _active_blocks:
                _allowed.clear()
                _allowed_addresses.clear()
                if socket.getaddrinfo is _remember_addresses:
                    socket.getaddrinfo = _find_addresses


def _remember_addresses(host: Any, *args: Any, **kwargs: Any) -> Any:
    found = _find_addresses(host, *args, **kwargs)
    name = host.decode("utf-8", "replace") if isinstance(host, (bytes, bytearray)) else host
    if isinstance(name, str) and _is_allowed(name):
        _allowed_addresses.update(str(entry[4][0]) for entry in found)
    return found


def _check_event(event: str, args: tuple[object, ...]) -> None:
    if not _active_blocks or not event.startswith("socket."):
        return
    host = _host(event, args)
    if not _is_local(host) and not _is_allowed(str(host)):
        raise NetworkBlocked(
            f"a test tried to reach {host!r}, which --plsync-block-network forbids; nothing was sent: {_advice()}, "
            f"or use --plsync-allowed-hosts={host}"
        )


def _advice() -> str:
    """The steps that help this caller. A recording covers the models and embeddings of LangChain alone."""
    blocks, live = (sys.modules.get(f"plsync.replay.proxy.{name}") for name in ("open_blocks", "live"))
    if live is not None and live.is_model_code():
        return "a recorded model made this call, so record without --plsync-block-network"
    if blocks is None or blocks.current_block() is None:
        return (
            "the marker plsync_recording records models and embeddings of LangChain. "
            "For another library use vcrpy or a server on this machine"
        )
    return (
        "the recording of this test holds models and embeddings of LangChain, and this call is neither. "
        "Pass a tool or a retriever of LangChain to with_recording, for another library use vcrpy"
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
    address = _address(host)
    if address is None:
        return host == socket.gethostname()
    return address.is_loopback or address.is_unspecified


def _is_allowed(host: str) -> bool:
    allowed = [pattern for pattern, blocks in _allowed.items() if blocks > 0]
    if not allowed:
        return False
    if host in _allowed_addresses or any(fnmatch.fnmatch(host.lower(), pattern) for pattern in allowed):
        return True
    address = _address(host)
    return address is not None and any(address in network for network in map(_network, allowed) if network is not None)


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(text, strict=False)
    except ValueError:
        return None
