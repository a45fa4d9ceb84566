"""HTTP for the stand-in: the listening server, and one handler per connection, which applies faults."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import re
import socket
import struct
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol, cast
from urllib.parse import parse_qsl, urlsplit

from plsync.testing.endpoints.http import HTTPError, Request, Response, error_response
from plsync.testing.faults import Fault

__all__ = ["Application", "HTTPServer", "is_from_a_page"]

_PIECES = 20
_LONGEST_NUMBER = 18
_IDENTITY = "/stand-in/identity"
_OWN_HOSTS = frozenset({"", "127.0.0.1", "localhost", "[::1]"})


class Application(Protocol):
    """The part of the stand-in that connections call."""

    max_body: int
    """Bytes of the longest request body."""
    latency: float
    """Seconds that each response is delayed."""

    def take_fault(self, path: str) -> Fault | None:
        """The fault for the next request to this path."""

    def handle(self, request: Request) -> Response:
        """The response to a request."""

    def record_request(self, request: Request, status: int | None, fault: Fault | None) -> None:
        """Add a request to the log of requests."""

    def count_connection(self) -> None:
        """Count a new connection."""

    def wait(self, seconds: float) -> None:
        """Hold a request back; returns early when the stand-in stops."""


class HTTPServer(ThreadingHTTPServer):
    """Listens on loopback, and tracks its open connections, so that ``offline()`` can cut them."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    loop: threading.Thread

    def __init__(self, application: Application, port: int) -> None:
        self.application = application
        self._open: set[Connection] = set()
        self._open_lock = threading.Lock()
        super().__init__(("127.0.0.1", port), Connection)

    def add_connection(self, connection: Connection) -> None:
        """Track and count an open connection."""
        with self._open_lock:
            self._open.add(connection)
        self.application.count_connection()

    def remove_connection(self, connection: Connection) -> None:
        """Forget a closed connection."""
        with self._open_lock:
            self._open.discard(connection)

    def close_connections(self) -> None:
        """Shut every open connection down."""
        with self._open_lock:
            connections = list(self._open)
        for connection in connections:
            connection.shut_down()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that disconnect; print any other error, which is a bug of the stand-in."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class Connection(BaseHTTPRequestHandler):
    """Reads requests until the client disconnects or a fault closes the connection."""

    protocol_version = "HTTP/1.1"
    server_version = "plsync-stand-in"
    disable_nagle_algorithm = True

    @property
    def _http_server(self) -> HTTPServer:
        return cast("HTTPServer", self.server)

    @property
    def _application(self) -> Application:
        return self._http_server.application

    def setup(self) -> None:
        """Register the connection with its server."""
        super().setup()
        self._http_server.add_connection(self)

    def finish(self) -> None:
        """Unregister the connection."""
        self._http_server.remove_connection(self)
        with contextlib.suppress(OSError):
            super().finish()

    def shut_down(self) -> None:
        """Shut the socket down at once, from any thread."""
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def do_GET(self) -> None:
        """Serve one request; every method ends up here."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        if is_from_a_page(headers):
            self._refuse(error_response(403, "Web pages may not use the stand-in"))
            return
        try:
            url = urlsplit(self.path)
        except ValueError:
            self._refuse(error_response(400, "The path is not a path of a URL"))
            return
        request = Request(self.command, url.path, headers, b"", dict(parse_qsl(url.query)))
        if url.path == _IDENTITY:
            # The header `Server` is the answer. A test neither plans a fault for this request nor counts it.
            self._reply(self._application.handle(request))
            return
        fault = self._application.take_fault(url.path)
        if fault is not None and fault.unread:
            self._application.record_request(request, None, fault)
            self._apply(fault, _fault_response(fault))
            return
        try:
            request = request._replace(body=self._read_body())
        except HTTPError as error:
            self.close_connection = True
            self._application.record_request(request, error.response.status, None)
            self._reply(error.response)
            return
        if fault is None:
            response = self._application.handle(request)
            self._application.record_request(request, response.status, None)
            self._reply(response)
        else:
            self._serve_with(fault, request)

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: ``requests`` is the log."""

    def _serve_with(self, fault: Fault, request: Request) -> None:
        response = self._application.handle(request) if fault.processed else _fault_response(fault)
        replies = fault.kind not in {"drop", "reset"} and (fault.kind != "hang" or fault.processed)
        status = fault.status if fault.kind == "fail" else response.status
        self._application.record_request(request, status if replies else None, fault)
        self._apply(fault, response)

    def _apply(self, fault: Fault, response: Response) -> None:
        """Send a response, or a part of it, as the fault demands."""
        if fault.kind == "fail":
            body = _fault_response(fault).body if fault.body is None else fault.body
            self._reply(Response(fault.status, body, fault.headers))
        elif fault.kind == "hang":
            self._application.wait(fault.seconds)
            if fault.processed:
                self._reply(response)
            else:
                self._hang_up()
        elif fault.kind == "trickle":
            self._reply(response, over=fault.seconds)
        elif fault.kind == "truncate":
            self._reply(response, part=len(response.body) // 2)
            self._hang_up()
        elif fault.kind == "reset":
            self._reset()
        else:
            self._hang_up()

    def _read_body(self) -> bytes:
        length = self.headers.get("Content-Length", "" if self.command == "POST" else "0")
        if not (length.isascii() and length.isdecimal()):
            raise HTTPError(error_response(411, "Content-Length is required"))
        if len(length) > _LONGEST_NUMBER:
            raise HTTPError(error_response(400, "Content-Length is not a length"))
        if int(length) > self._application.max_body:
            raise HTTPError(error_response(413, f"The body is larger than {self._application.max_body} bytes"))
        body = self.rfile.read(int(length))
        if self.headers.get("Content-Encoding", "").lower() == "gzip":
            body = self._unzip(body)
        return body

    def _refuse(self, response: Response) -> None:
        """Reply without reading the body, which then is in the way of a next request."""
        self.close_connection = True
        self._reply(response)

    def _unzip(self, body: bytes) -> bytes:
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
                plain = file.read(self._application.max_body + 1)
        except (OSError, EOFError):
            raise HTTPError(error_response(400, "The body is not gzip")) from None
        if len(plain) > self._application.max_body:
            raise HTTPError(error_response(413, f"The body is larger than {self._application.max_body} bytes"))
        return plain

    def _reply(self, response: Response, *, over: float = 0.0, part: int | None = None) -> None:
        if self._application.latency:
            self._application.wait(self._application.latency)
        self.send_response(response.status)
        if self.close_connection:
            # Without this header the client would send its next request on a connection that is about to close.
            self.send_header("Connection", "close")
        defaults = {"Content-Type": "application/json", "Content-Length": str(len(response.body))}
        for name, value in {**defaults, **response.headers}.items():
            self.send_header(name, value)
        self.end_headers()
        body = response.body[:part]
        if not over:
            self.wfile.write(body)
            return
        size = -(-len(body) // _PIECES) or 1
        for start in range(0, len(body), size):
            self._application.wait(over / _PIECES)
            self.wfile.write(body[start : start + size])

    def _hang_up(self) -> None:
        self.close_connection = True
        self.shut_down()

    def _reset(self) -> None:
        """Close the socket with a linger time of zero, which sends a reset."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # Close the descriptor itself: the files that share the socket would keep it open.
        os.close(self.connection.detach())


def is_from_a_page(headers: Mapping[str, str]) -> bool:
    """Whether a browser may have sent the request for a web page.

    A page of another site names its origin. A page after DNS rebinding names its site as the host.

    Args:
        headers: values by lower-case name.
    """
    host = re.sub(r":[0-9]*\Z", "", headers.get("host", ""))
    is_own = host.lower() in _OWN_HOSTS
    return not is_own or "origin" in headers or headers.get("sec-fetch-site", "none") != "none"


def _fault_response(fault: Fault) -> Response:
    return error_response(fault.status, "The test injected a fault")
