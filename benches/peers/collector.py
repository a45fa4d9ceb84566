"""A server for every recorder: it accepts each request, and counts the marked calls that arrive."""

from __future__ import annotations

import gzip
import json
import re
import threading
import zlib
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import zstandard

__all__ = ["Collector"]

_MARK = re.compile(rb"mark(\d{5})mark")
_TRACE = "/api/public/v2/traces/"


class Collector:
    """Listens on loopback between ``start`` and ``stop``, on the same port each time.

    ``/spans-bulk`` and traces respond as PromptLayer does, with request ids. All other paths respond with an empty
    object.
    """

    def __init__(self) -> None:
        self.arrived: set[bytes] = set()
        self.traces: dict[str, dict[str, Any]] = {}
        self._rows = 0
        self._lock = threading.Lock()
        self._port = 0
        self._server: _Server | None = None

    @property
    def url(self) -> str:
        """The base URL."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Accept connections."""
        self._server = _Server(self, self._port)
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def stop(self) -> None:
        """Refuse connections, and cut the open ones."""
        server, self._server = self._server, None
        if server is not None:
            server.shutdown()
            server.server_close()
            server.cut()

    def respond(self, path: str, body: bytes) -> tuple[int, Any]:
        """The status and the object of a response."""
        with self._lock:
            self.arrived.update(_MARK.findall(body))
            if path == "/spans-bulk":
                return 201, self._store(json.loads(body))
        if path.startswith(_TRACE):
            spans = self.traces.get(path.removeprefix(_TRACE), {})
            found = {"success": True, "spans": list(spans.values())}
            return (200, found) if spans else (404, {"success": False, "message": "Trace not found"})
        return 200, {}

    def _store(self, batch: Any) -> Any:
        stored, logs = [], []
        for span in batch["spans"]:
            trace_id, span_id = span["context"]["trace_id"], span["context"]["span_id"]
            self._rows += 1
            row = {"id": self._rows, "name": span["name"], "span_id": span_id}
            log_id = self._rows if span.get("log_request") else None
            times = {"start_time": "2026-01-01T00:00:00Z", "end_time": "2026-01-01T00:00:00Z"}
            listed = {**row, "parent_id": span.get("parent_id"), "request_log_id": log_id, **times}
            self.traces.setdefault(trace_id, {})[span_id] = listed
            stored.append(row)
            if log_id is not None:
                logs.append({"id": log_id, "span_id": span_id})
        return {"success": True, "spans": stored, "request_logs": logs}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, collector: Collector, port: int) -> None:
        self.collector = collector
        self.open: set[Any] = set()
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.open.add(request)
        super().process_request(request, client_address)

    def cut(self) -> None:
        for connection in list(self.open):
            connection.close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a recorder that ends cuts its connections


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def _serve(self) -> None:
        body = self._body()
        status, response = self.server.collector.respond(self.path.partition("?")[0], body)
        content = json.dumps(response).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_PATCH = _serve

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return _unpacked(body, self.headers.get("Content-Encoding"))

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _unpacked(body: bytes, encoding: str | None) -> bytes:
    if encoding == "gzip":
        return gzip.decompress(body)
    if encoding == "deflate":
        return zlib.decompress(body)
    if encoding == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(body)
    return body
