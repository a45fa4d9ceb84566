"""The PromptLayer stand-in: a real, threaded HTTP server on 127.0.0.1."""

from __future__ import annotations

import contextlib
import copy
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from http.server import ThreadingHTTPServer
from types import TracebackType
from typing import Any

from plsync.testing.connection import Connection
from plsync.testing.faults import Faults
from plsync.testing.registry import Registry
from plsync.testing.routes import Answer, Routes, failure
from plsync.testing.workspace import JSON, Workspace

DEFAULT_API_KEY = "pl_stand_in"

_LEGACY = ("/library-track-", "/create-group", "/track-group")


@dataclass(frozen=True)
class Received:
    """One request as it came in, without the key; ``status`` is None when nothing was said.

    Header names are lower case.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    status: int | None


class PromptLayerServer(Faults):
    """A PromptLayer to test against; start it with ``with``.

    Args:
        api_key: the key it accepts, in ``X-API-KEY`` or, on the SDK's older endpoints, as ``api_key`` in the body.
        port: a port on 127.0.0.1; 0 takes a free one.
        max_body: bytes of a request body beyond which it answers 413.
        search_per_minute: searches allowed a minute before 429 (PromptLayer documents 10); None for no limit.

    >>> from plsync.testing import PromptLayerServer
    >>> with PromptLayerServer() as server:
    ...     server.add_prompt("greeting", {"type": "completion", "content": [{"type": "text", "text": "Hi {name}"}]})
    1
    """

    def __init__(
        self,
        *,
        api_key: str = DEFAULT_API_KEY,
        port: int = 0,
        max_body: int = 32 << 20,
        search_per_minute: int | None = None,
    ) -> None:
        """Prepare; nothing listens before ``with``."""
        super().__init__()
        self.api_key = api_key
        self.max_body = max_body
        self.requests: list[Received] = []
        self._port = port
        self._state = threading.RLock()
        self._workspace = Workspace()
        self._registry = Registry()
        self._routes = Routes(self._workspace, self._registry, search_per_minute)
        self._http: _HTTPServer | None = None

    def __enter__(self) -> PromptLayerServer:
        """Listen."""
        self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of requests held back, and stop listening."""
        self.stop()
        self._hang_up()

    @property
    def url(self) -> str:
        """Where it listens; usable as ``PROMPTLAYER_BASE_URL``."""
        return f"http://127.0.0.1:{self._port}"

    @contextlib.contextmanager
    def offline(self) -> Iterator[None]:
        """Inside this block nothing listens on the port: connections are refused."""
        self._hang_up()
        try:
            yield
        finally:
            self._listen()

    @property
    def request_logs(self) -> list[JSON]:
        """Every request log: the body as sent, with its ``id``, ``span_id`` and ``trace_id``."""
        with self._state:
            return copy.deepcopy(list(self._workspace.logs.values()))

    @property
    def spans(self) -> list[JSON]:
        """Every span as sent, with its row ``id`` and ``request_log_id``."""
        with self._state:
            return copy.deepcopy(list(self._workspace.spans.values()))

    @property
    def closed_traces(self) -> set[str]:
        """Traces that take no more spans."""
        with self._state:
            return set(self._workspace.closed_traces)

    @property
    def scores(self) -> dict[int, dict[str, int]]:
        """Scores by request id and name."""
        with self._state:
            return copy.deepcopy(self._workspace.scores)

    @property
    def metadata(self) -> dict[int, dict[str, str]]:
        """Metadata by request id."""
        with self._state:
            return {request_id: dict(log["metadata"]) for request_id, log in self._workspace.logs.items()}

    @property
    def prompt_links(self) -> dict[int, JSON]:
        """The prompt each request was linked to, by request id."""
        with self._state:
            return copy.deepcopy(self._workspace.prompt_links)

    @property
    def groups(self) -> dict[int, list[int]]:
        """Request ids by group id."""
        with self._state:
            return copy.deepcopy(self._workspace.groups)

    def logs_of(self, record_id: str) -> list[JSON]:
        """The request logs of one plsync record; more than one means it was delivered twice."""
        return [log for log in self.request_logs if log["metadata"].get("plsync_id") == record_id]

    def add_prompt(
        self, name: str, template: JSON, *, labels: Iterable[str] = (), metadata: Mapping[str, Any] | None = None
    ) -> int:
        """Publish a version of a prompt template (a blueprint); returns its number."""
        with self._state:
            return self._registry.add(name, template, labels=labels, metadata=metadata)

    def handle(self, method: str, path: str, headers: Mapping[str, str], body: Any, query: Mapping[str, str]) -> Answer:
        """Answer one parsed request, whatever it came by."""
        if not self._authorised(path, headers, body):
            return 401, failure("Invalid API key")
        with self._state:
            return self._routes.dispatch(method, path, body, query)

    def note(self, method: str, path: str, headers: Mapping[str, str], body: Any, status: int | None) -> None:
        """Keep what was received for ``requests``."""
        shown = {key: value for key, value in headers.items() if key != "x-api-key"}
        if isinstance(body, dict):
            body = {key: value for key, value in body.items() if key != "api_key"}
        with self._state:
            self.requests.append(Received(method, path, shown, body, status))

    def _authorised(self, path: str, headers: Mapping[str, str], body: Any) -> bool:
        if path.startswith(_LEGACY):
            return isinstance(body, dict) and body.get("api_key") == self.api_key
        return headers.get("x-api-key") == self.api_key

    def _listen(self) -> None:
        self._http = _HTTPServer(self, self._port)
        self._port = self._http.server_address[1]
        thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, name="plsync-stand-in", daemon=True
        )
        thread.start()
        self._http.loop = thread

    def _hang_up(self) -> None:
        http, self._http = self._http, None
        if http is None:
            return
        http.shutdown()
        http.loop.join()
        http.server_close()
        http.close_connections()


class _HTTPServer(ThreadingHTTPServer):
    """Knows the stand-in it serves, and its open connections, so that going offline cuts them."""

    daemon_threads = True
    block_on_close = False
    loop: threading.Thread

    def __init__(self, app: PromptLayerServer, port: int) -> None:
        self.app = app
        self._open: set[Connection] = set()
        self._open_lock = threading.Lock()
        super().__init__(("127.0.0.1", port), Connection)

    def opened(self, connection: Connection) -> None:
        with self._open_lock:
            self._open.add(connection)

    def closed(self, connection: Connection) -> None:
        with self._open_lock:
            self._open.discard(connection)

    def close_connections(self) -> None:
        with self._open_lock:
            connections = list(self._open)
        for connection in connections:
            connection.cut()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no news; anything else is a bug of ours and must be seen."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)
