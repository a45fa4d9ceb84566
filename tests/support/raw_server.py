"""A server below HTTP: it sends given bytes, and counts connections and requests."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from types import TracebackType


class Line:
    """One client's connection."""

    def __init__(self, connection: socket.socket, server: RawServer) -> None:
        self.socket = connection
        self._server = server

    def read_request(self) -> bool:
        """Read one whole request, and count it. Returns False when the client has closed the connection."""
        received = b""
        while b"\r\n\r\n" not in received:
            if not (chunk := self.socket.recv(65536)):
                return False
            received += chunk
        head, _, body = received.partition(b"\r\n\r\n")
        fields = head.lower().split(b"\r\n")
        length = next((int(field[15:]) for field in fields if field.startswith(b"content-length:")), 0)
        while len(body) < length:
            if not (chunk := self.socket.recv(65536)):
                return False
            body += chunk
        self._server.first_lines.append(head.partition(b"\r\n")[0].decode())
        return True

    def hang_up(self) -> None:
        """Close the connection in both directions."""
        self.socket.shutdown(socket.SHUT_RDWR)

    def reset(self) -> None:
        """Close the connection with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


Behaviour = Callable[[Line], None]


class RawServer:
    """Listens on 127.0.0.1, and applies one behaviour to every connection."""

    def __init__(self, behaviour: Behaviour, *, tls: ssl.SSLContext | None = None) -> None:
        self.connections = 0
        self.first_lines: list[str] = []
        self._behaviour = behaviour
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._threads: list[threading.Thread] = []
        self._open: list[socket.socket] = [self._listener]

    @property
    def requests(self) -> int:
        """The number of whole requests."""
        return len(self.first_lines)

    @property
    def url(self) -> str:
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> RawServer:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for held in self._open:
            with contextlib.suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for held in self._open:
            held.close()

    def _start(self, work: Callable[..., None], *arguments: socket.socket) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.connections += 1
                self._open.append(connection)
                self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError):
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            self._behaviour(Line(connection, self))


def responding(status: str, body: bytes = b"", *, headers: str = "", length: int | None = None) -> Behaviour:
    """Respond to every request of a connection with ``body``.

    Args:
        status: the code and the phrase.
        body: the bytes of the body.
        headers: further lines, each with ``\\r\\n`` at its end.
        length: the value of ``Content-Length``; the length of the body by default.
    """

    def behave(line: Line) -> None:
        while line.read_request():
            size = len(body) if length is None else length
            head = f"HTTP/1.1 {status}\r\nContent-Length: {size}\r\n{headers}\r\n"
            line.socket.sendall(head.encode() + body)
            if length is not None:
                line.hang_up()
                return

    return behave


def reset_at_once(line: Line) -> None:
    """Reset the connection before the request."""
    line.reset()


def reset_within_the_request(line: Line) -> None:
    """Reset the connection after the first byte of the request."""
    line.socket.recv(1)
    line.reset()


def reset_after_the_request(line: Line) -> None:
    """Read the request, and reset the connection."""
    line.read_request()
    line.reset()


def closed_after_the_request(line: Line) -> None:
    """Read the request, and close the connection without a response."""
    line.read_request()
    line.hang_up()


def silent(line: Line) -> None:
    """Read the request, and send nothing."""
    line.read_request()
    line.socket.recv(1)


def dripping(line: Line) -> None:
    """Respond one byte at a time, without end."""
    line.read_request()
    line.socket.sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 1000000\r\n\r\n")
    while True:
        line.socket.sendall(b" ")
        threading.Event().wait(0.01)


def garbage(line: Line) -> None:
    """Respond with bytes that are not HTTP."""
    line.read_request()
    line.socket.sendall(b"SSH-2.0-OpenSSH_9.9\r\n")
    line.hang_up()
