"""One client's connection to the stand-in: HTTP in, faults, HTTP out."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import socket
import struct
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, urlsplit

from plsync.testing.endpoints.answers import Answer, Asked, Refused, failure
from plsync.testing.faults import Fault

if TYPE_CHECKING:
    from plsync.testing.server import PromptLayerServer, _HTTPServer

_PIECES = 20


class Connection(BaseHTTPRequestHandler):
    """Reads requests until the client goes away or a fault cuts the line."""

    protocol_version = "HTTP/1.1"
    server_version = "plsync-stand-in"
    disable_nagle_algorithm = True

    @property
    def _server(self) -> _HTTPServer:
        return cast("_HTTPServer", self.server)

    @property
    def _app(self) -> PromptLayerServer:
        return self._server.app

    def setup(self) -> None:
        """Let the server know of this connection."""
        super().setup()
        self._server.opened(self)

    def finish(self) -> None:
        """Let the server forget it."""
        self._server.closed(self)
        with contextlib.suppress(OSError):
            super().finish()

    def cut(self) -> None:
        """Hang up at once, from any thread."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def do_GET(self) -> None:
        """Serve a request, of whatever method."""
        self._serve(self.command)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent: ``requests`` is the log."""

    def _serve(self, method: str) -> None:
        url = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        asked = Asked(method, url.path, headers, b"", dict(parse_qsl(url.query)))
        fault = self._app.take(url.path)
        if fault is not None and fault.unread:
            self._app.note(asked, None, fault)
            self._suffer(fault, failure(fault.status, "A fault was ordered"))
            return
        try:
            asked = asked._replace(body=self._read_body(method))
        except Refused as refused:
            self.close_connection = True
            self._app.note(asked, refused.answer.status, None)
            self._reply(refused.answer)
            return
        if fault is None:
            answer = self._app.handle(asked)
            self._app.note(asked, answer.status, None)
            self._reply(answer)
            return
        answer = self._app.handle(asked) if fault.processed else failure(fault.status, "A fault was ordered")
        told = fault.kind not in {"drop", "reset"} and (fault.kind != "hang" or fault.processed)
        status = fault.status if fault.kind == "fail" else answer.status
        self._app.note(asked, status if told else None, fault)
        self._suffer(fault, answer)

    def _suffer(self, fault: Fault, answer: Answer) -> None:
        """Let the client have what the fault makes of an answer."""
        if fault.kind == "fail":
            body = failure(fault.status, "A fault was ordered").body if fault.body is None else fault.body
            self._reply(Answer(fault.status, body, fault.headers))
        elif fault.kind == "hang":
            self._app.wait(fault.seconds)
            if fault.processed:
                self._reply(answer)
            else:
                self._hang_up()
        elif fault.kind == "trickle":
            self._reply(answer, over=fault.seconds)
        elif fault.kind == "truncate":
            self._reply(answer, part=len(answer.body) // 2)
            self._hang_up()
        elif fault.kind == "reset":
            self._reset()
        else:
            self._hang_up()

    def _read_body(self, method: str) -> bytes:
        length = self.headers.get("Content-Length", "" if method == "POST" else "0")
        if not (length.isascii() and length.isdecimal()):
            raise Refused(failure(411, "Content-Length is required"))
        if int(length) > self._app.max_body:
            raise Refused(failure(413, f"The body is larger than {self._app.max_body} bytes"))
        body = self.rfile.read(int(length))
        if self.headers.get("Content-Encoding", "").lower() == "gzip":
            body = self._unzip(body)
        return body

    def _unzip(self, body: bytes) -> bytes:
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
                plain = file.read(self._app.max_body + 1)
        except (OSError, EOFError):
            raise Refused(failure(400, "The body is not gzip")) from None
        if len(plain) > self._app.max_body:
            raise Refused(failure(413, f"The body is larger than {self._app.max_body} bytes"))
        return plain

    def _reply(self, answer: Answer, *, over: float = 0.0, part: int | None = None) -> None:
        if self._app.latency:
            self._app.wait(self._app.latency)
        self.send_response(answer.status)
        if self.close_connection:
            # Or the client asks the next thing of a connection that is about to be closed.
            self.send_header("Connection", "close")
        fixed = {"Content-Type": "application/json", "Content-Length": str(len(answer.body))}
        for name, value in {**fixed, **answer.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        body = answer.body[:part]
        if not over:
            self.wfile.write(body)
            return
        size = -(-len(body) // _PIECES) or 1
        for start in range(0, len(body), size):
            self._app.wait(over / _PIECES)
            self.wfile.write(body[start : start + size])

    def _hang_up(self) -> None:
        self.close_connection = True
        self.cut()

    def _reset(self) -> None:
        """Closing a socket that lingers for no time sends a reset."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Past the files that share the socket: they would keep it open.
        os.close(self.connection.detach())
