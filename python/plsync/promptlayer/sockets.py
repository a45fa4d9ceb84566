"""Connections for httpcore in which each wait ends at the deadline of the exchange."""

from __future__ import annotations

import contextlib
import ipaddress
import queue
import select
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

import httpcore

from plsync.promptlayer.exchange import current_exchange

__all__ = ["Backend"]

T = TypeVar("T")

_Address = tuple[int, int, int, str, Any]
"""An address as ``socket.getaddrinfo`` returns it."""

_MAX_ADDRESSES: Final = 8
# The least seconds for each of several addresses, while time is left.
_SHORTEST_ATTEMPT: Final = 3.0
_TLS_RECORD: Final = 16 << 10


class Backend(httpcore.NetworkBackend):
    """Opens TCP connections."""

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Connect to the first address of a host that accepts within its share of the time."""
        exchange = current_exchange()
        with exchange.errors(httpcore.ConnectError):
            deadline = time.monotonic() + exchange.seconds(timeout)
            addresses = _look_up(host, port, exchange.seconds(timeout))[:_MAX_ADDRESSES]
            failure: OSError = OSError(f"{host} has no address")
            for place, address in enumerate(addresses):
                left = max(deadline - time.monotonic(), 0.001)
                share = min(left, max(left / (len(addresses) - place), _SHORTEST_ATTEMPT))
                try:
                    return _Stream(_connect(address, exchange.seconds(share)))
                except OSError as error:
                    failure = error
            raise failure


class _Stream(httpcore.NetworkStream):
    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        exchange = current_exchange()
        with exchange.errors(httpcore.ReadError):
            self._socket.settimeout(exchange.seconds(timeout))
            received = self._socket.recv(max_bytes)
        exchange.count(len(received))
        return received

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        exchange = current_exchange()
        rest = memoryview(buffer)
        with exchange.errors(httpcore.WriteError):
            while rest:
                self._socket.settimeout(exchange.seconds(timeout))
                rest = rest[self._socket.send(rest) :]

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        exchange = current_exchange()
        try:
            if isinstance(self._socket, ssl.SSLSocket):
                return _TLSInTLS(self, ssl_context, server_hostname, timeout)
            with exchange.errors(httpcore.ConnectError):
                self._socket.settimeout(exchange.seconds(timeout))
                return _Stream(ssl_context.wrap_socket(self._socket, server_hostname=server_hostname))
        except BaseException:
            self.close()
            raise

    def get_extra_info(self, info: str) -> Any:
        if info == "socket":
            return self._socket
        if info == "ssl_object":
            return self._socket if isinstance(self._socket, ssl.SSLSocket) else None
        if info == "is_readable":
            return _is_readable(self._socket)
        return None


class _TLSInTLS(httpcore.NetworkStream):
    """TLS to a server inside the TLS connection to a proxy."""

    def __init__(
        self, stream: _Stream, context: ssl.SSLContext, server_hostname: str | None, timeout: float | None
    ) -> None:
        self._stream = stream
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname)
        self._run(self._tls.do_handshake, timeout)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        try:
            return self._run(lambda: self._tls.read(max_bytes), timeout)
        except ssl.SSLZeroReturnError:
            return b""

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        rest = memoryview(buffer)
        while rest:
            written = self._run(lambda rest=rest: self._tls.write(rest), timeout)  # type: ignore[misc]
            rest = rest[written:]

    def close(self) -> None:
        self._stream.close()

    def get_extra_info(self, info: str) -> Any:
        return self._tls if info == "ssl_object" else self._stream.get_extra_info(info)

    def _run(self, operation: Callable[[], T], timeout: float | None) -> T:
        exchange = current_exchange()
        while True:
            with exchange.errors(httpcore.ReadError), contextlib.suppress(ssl.SSLWantReadError):
                result = operation()
                self._flush(timeout)
                return result
            self._flush(timeout)
            if received := self._stream.read(_TLS_RECORD, timeout):
                self._incoming.write(received)
            else:
                self._incoming.write_eof()

    def _flush(self, timeout: float | None) -> None:
        if self._outgoing.pending:
            self._stream.write(self._outgoing.read(), timeout)


def _look_up(host: str, port: int, seconds: float) -> list[_Address]:
    """The addresses of a host. The system's look-up has no timeout, so a thread makes it."""
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host.partition("%")[0])
        return _addresses(host, port)
    results: queue.SimpleQueue[list[_Address] | BaseException] = queue.SimpleQueue()

    def look_up() -> None:
        try:
            results.put(_addresses(host, port))
        except BaseException as error:  # the waiting thread raises it
            results.put(error)

    try:
        threading.Thread(target=look_up, name="plsync-dns", daemon=True).start()
    except RuntimeError:  # the system has no more threads, or the interpreter is shutting down
        look_up()
    try:
        found = results.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError(f"the look-up of {host} takes too long") from None
    if isinstance(found, BaseException):
        raise found
    return found


def _addresses(host: str, port: int) -> list[_Address]:
    try:
        return list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except UnicodeError as error:  # a name that DNS cannot have
        raise OSError(f"{host} is not the name of a host") from error


def _connect(address: _Address, seconds: float) -> socket.socket:
    family, kind, protocol, _, target = address
    connecting = socket.socket(family, kind, protocol)
    try:
        connecting.settimeout(seconds)
        connecting.connect(target)
        connecting.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        connecting.close()
        raise
    return connecting


def _is_readable(connected: socket.socket) -> bool:
    """Whether the socket has data, or was closed: an idle connection with either is not used again."""
    if (number := connected.fileno()) < 0:
        return True
    if sys.platform == "win32":
        return bool(select.select([number], [], [], 0)[0])
    poll = select.poll()
    poll.register(number, select.POLLIN)
    return bool(poll.poll(0))
