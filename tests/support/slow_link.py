"""A link between a client and a server with a limit in bytes per second for all connections."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType
from urllib.parse import urlsplit

from tests.support.raw_server import Line, RawServer

# Small pieces and small buffers, so that most of the sent bytes are still on the link.
_PIECE = 4096


class SlowLink(RawServer):
    """Forwards connections to ``url``, and limits the bytes that it sends there to ``bytes_a_second``."""

    def __init__(self, url: str, bytes_a_second: int) -> None:
        super().__init__(self._connect)
        self._server = urlsplit(url)
        self._seconds = 1 / bytes_a_second
        self._turn = threading.Lock()
        self._free_at = 0.0
        self._closing = threading.Event()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _PIECE)

    @property
    def url(self) -> str:
        return f"{self._server.scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        super().__exit__(kind, error, trace)

    def _connect(self, line: Line) -> None:
        server = socket.create_connection((self._server.hostname or "", self._server.port or 80))
        self._open.append(server)
        self._start(self._pass, server, line.socket)
        self._pass(line.socket, server, slowly=True)

    def _pass(self, source: socket.socket, target: socket.socket, *, slowly: bool = False) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE):
                if slowly:
                    self._wait_for_turn(len(piece))
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)

    def _wait_for_turn(self, size: int) -> None:
        """All connections share the link: one piece is on it at a time."""
        with self._turn:
            begins = max(self._free_at, time.monotonic())
            self._free_at = begins + size * self._seconds
            ends = self._free_at
        self._closing.wait(ends - time.monotonic())
