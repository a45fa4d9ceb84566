"""One client's connection to the stand-in: HTTP in, faults, HTTP out."""

from __future__ import annotations

import contextlib
import json
import socket
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import parse_qsl, urlsplit

from plsync.testing.faults import Fault
from plsync.testing.routes import failure

if TYPE_CHECKING:
    from plsync.testing.server import PromptLayerServer, _HTTPServer


class _BadRequest(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Connection(BaseHTTPRequestHandler):
    """Reads requests until the client goes away or a fault cuts the line."""

    protocol_version = "HTTP/1.1"
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
        """Hang up at once, from another thread."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def do_GET(self) -> None:
        """Serve a GET."""
        self._serve("GET")

    def do_POST(self) -> None:
        """Serve a POST."""
        self._serve("POST")

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent: ``requests`` is the log."""

    def _serve(self, method: str) -> None:
        url = urlsplit(self.path)
        seen = {name.lower(): value for name, value in self.headers.items()}
        try:
            body = self._read_body(method)
        except _BadRequest as error:
            self.close_connection = True
            self._app.note(method, url.path, seen, None, error.status)
            self._reply(error.status, json.dumps(failure(str(error))).encode())
            return
        fault = self._app.take(url.path)
        status: int | None = None
        payload = b""
        headers: dict[str, str] = {}
        if fault is None or fault.processed:
            status, answer = self._app.handle(method, url.path, seen, body, dict(parse_qsl(url.query)))
            payload = json.dumps(answer).encode()
        if fault is not None:
            status, payload, headers = self._suffer(fault, status, payload)
        self._app.note(method, url.path, seen, body, status)
        if status is None:
            self.close_connection = True
            self.cut()
            return
        self._reply(status, payload, headers)

    def _suffer(self, fault: Fault, status: int | None, payload: bytes) -> tuple[int | None, bytes, dict[str, str]]:
        if fault.kind == "fail":
            body = fault.body if fault.body is not None else json.dumps(failure("A fault was ordered")).encode()
            return fault.status, body, dict(fault.headers)
        if fault.kind == "hang":
            self._app.wait(fault.seconds)
            return status, payload, {}
        return None, b"", {}

    def _read_body(self, method: str) -> Any:
        if method == "GET":
            return None
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal():
            raise _BadRequest(411, "Content-Length is required")
        if int(length) > self._app.max_body:
            raise _BadRequest(413, f"The body is larger than {self._app.max_body} bytes")
        try:
            return json.loads(self.rfile.read(int(length)) or b"null")
        except (ValueError, RecursionError):
            raise _BadRequest(400, "The body is not JSON") from None

    def _reply(self, status: int, payload: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(payload)
