"""A link between a client and a server that carries so many bytes a second, whoever they belong to."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType
from urllib.parse import urlsplit

# Small pieces and small buffers: what a client has sent is then mostly still on its way.
_PIECE = 4096


class SlowLink:
    """Listens on 127.0.0.1, and passes everything on to ``url`` and back; towards it at ``bytes_a_second``."""

    def __init__(self, url: str, bytes_a_second: int) -> None:
        self._server = urlsplit(url)
        self._seconds = 1 / bytes_a_second
        self._turn = threading.Lock()
        self._free_at = 0.0
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _PIECE)
        self._open: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []

    @property
    def url(self) -> str:
        return f"{self._server.scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> SlowLink:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        for held in self._open:
            with contextlib.suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for held in self._open:
            held.close()

    def _start(self, work: object, *arguments: object) -> None:
        self._threads.append(threading.Thread(target=work, args=arguments, daemon=True))  # type: ignore[arg-type]
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((self._server.hostname or "", self._server.port or 80))
                self._open += [client, server]
                self._start(self._pass, client, server, True)
                self._start(self._pass, server, client, False)

    def _pass(self, source: socket.socket, target: socket.socket, slowly: bool) -> None:
        with contextlib.suppress(OSError):
            while piece := source.recv(_PIECE):
                if slowly:
                    self._wait_for_turn(len(piece))
                target.sendall(piece)
            target.shutdown(socket.SHUT_WR)

    def _wait_for_turn(self, size: int) -> None:
        """All connections share the link: each piece has its time on it, one after the other."""
        with self._turn:
            begins = max(self._free_at, time.monotonic())
            self._free_at = begins + size * self._seconds
            ends = self._free_at
        self._closing.wait(ends - time.monotonic())
