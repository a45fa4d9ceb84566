"""The PromptLayer stand-in: a real, threaded HTTP server on 127.0.0.1."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from http.server import ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal

import orjson

from plsync.testing.assertions import Assertions, record_of
from plsync.testing.connection import Connection
from plsync.testing.endpoints import LEGACY_PATHS, all_routes
from plsync.testing.endpoints.answers import Answer, Asked, failure, ok
from plsync.testing.faults import Fault, Faults
from plsync.testing.state.keeping import KeptIds, KeptWhole
from plsync.testing.state.registry import Registry
from plsync.testing.state.workspace import JSON, Workspace

__all__ = ["DEFAULT_API_KEY", "PromptLayerServer", "Received"]

DEFAULT_API_KEY = "pl_stand_in"


@dataclass(frozen=True)
class Received:
    """One request as it came in, without the key; ``status`` is None when nothing was said.

    Header names are lower case.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    content: bytes
    status: int | None
    fault: Fault | None = None
    """What went wrong with it on purpose."""

    @cached_property
    def body(self) -> Any:
        """The content as JSON; None when there was none, or it was no JSON."""
        try:
            return orjson.loads(self.content)
        except orjson.JSONDecodeError:
            return None


class PromptLayerServer(Faults, Assertions):
    """A PromptLayer to test against; start it with ``with``.

    Args:
        api_key: the key it accepts, in ``X-API-KEY`` or, on the SDK's older endpoints, as ``api_key`` in the body.
        port: a port on 127.0.0.1; 0 takes a free one.
        max_body: bytes of a request body beyond which it answers 413.
        search_per_minute: searches allowed a minute before 429; None for no limit.
        validate: whether spans and logs have to be as PromptLayer's OpenAPI file describes them.
        latency: seconds by which each answer is late.
        lag: seconds before a log that came with a span shows in its trace and in searches.
        keep: ``"all"``, or ``"ids"`` to keep of spans and logs their ids alone and no requests, for millions of them.

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
        search_per_minute: int | None = 10,
        validate: bool = True,
        latency: float = 0.0,
        lag: float = 0.0,
        keep: Literal["all", "ids"] = "all",
    ) -> None:
        """Prepare; nothing listens before ``with``."""
        super().__init__()
        self.api_key = api_key
        self.max_body = max_body
        self.latency = latency
        self.requests: list[Received] = []
        self._keeps_requests = keep == "all"
        self._port = port
        self._state = threading.RLock()
        self._connections = 0
        self._answered = 0
        self._registry = Registry()
        self._workspace = Workspace(KeptWhole() if keep == "all" else KeptIds(), lag)
        self._routes = all_routes(
            self._workspace, self._registry, validate=validate, search_per_minute=search_per_minute
        )
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
            logs = self._workspace.kept.logs()
        return list(logs)

    @property
    def spans(self) -> list[JSON]:
        """Every span as sent, with its row ``id`` and ``request_log_id``."""
        with self._state:
            spans = self._workspace.kept.spans()
        return list(spans)

    @property
    def closed_traces(self) -> set[str]:
        """Traces that take no more spans."""
        with self._state:
            return set(self._workspace.kept.closed())

    @property
    def scores(self) -> dict[int, dict[str, int]]:
        """Scores by request id and name."""
        with self._state:
            return {request_id: dict(scores) for request_id, scores in self._workspace.scores.items()}

    @property
    def metadata(self) -> dict[int, dict[str, str]]:
        """Metadata by request id."""
        return {log["id"]: dict(log["metadata"]) for log in self.request_logs}

    @property
    def prompt_links(self) -> dict[int, JSON]:
        """The prompt each request was linked to, by request id."""
        with self._state:
            return {request_id: dict(link) for request_id, link in self._workspace.prompt_links.items()}

    @property
    def groups(self) -> dict[int, list[int]]:
        """Request ids by group id."""
        with self._state:
            return {group_id: list(members) for group_id, members in self._workspace.groups.items()}

    @property
    def counts(self) -> dict[str, int]:
        """How many ``connections`` and ``requests`` there were, how many met a fault, how many spans and logs came."""
        with self._state:
            return {
                "connections": self._connections,
                "requests": self._answered,
                "faults": sum(self.faults_met.values()),
                "spans": self._workspace.spans_stored,
                "request_logs": self._workspace.logs_stored,
            }

    def logs_of(self, record_id: str) -> list[JSON]:
        """The request logs of one plsync record; more than one means it was delivered twice."""
        return [log for log in self.request_logs if record_of(log) == record_id]

    def add_prompt(
        self, name: str, template: JSON, *, labels: Iterable[str] = (), metadata: Mapping[str, Any] | None = None
    ) -> int:
        """Publish a version of a prompt template (a blueprint); returns its number."""
        with self._state:
            return self._registry.add(name, template, labels=labels, metadata=metadata).number

    def handle(self, asked: Asked) -> Answer:
        """Answer one request, whatever it came by."""
        if not self._authorised(asked):
            return failure(401, "Invalid API key")
        if asked.path == "/stand-in/counts":
            return ok(self.counts)
        refused = self.refusal(asked.body)
        if refused is not None:
            return failure(refused, "What is in this body is poison: refused as ordered")
        with self._state:
            return self._routes.answer(asked)

    def note(self, asked: Asked, status: int | None, fault: Fault | None) -> None:
        """Keep what was received for ``requests``."""
        with self._state:
            self._answered += 1
        if not self._keeps_requests:
            return
        shown = {key: value for key, value in asked.headers.items() if key != "x-api-key"}
        content = asked.body if self.api_key.encode() not in asked.body else _without_key(asked.body)
        self.requests.append(Received(asked.method, asked.path, shown, content, status, fault))

    def _authorised(self, asked: Asked) -> bool:
        if asked.path.startswith(LEGACY_PATHS):
            return bool(_given_key(asked.body) == self.api_key)
        return bool(asked.headers.get("x-api-key") == self.api_key)

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

    def _connected(self) -> None:
        with self._state:
            self._connections += 1


def _given_key(body: bytes) -> Any:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return parsed.get("api_key") if isinstance(parsed, dict) else None


def _without_key(body: bytes) -> bytes:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return b""
    return orjson.dumps(
        {key: value for key, value in parsed.items() if key != "api_key"} if isinstance(parsed, dict) else None
    )


class _HTTPServer(ThreadingHTTPServer):
    """Knows the stand-in it serves, and its open connections, so that going offline cuts them."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128
    loop: threading.Thread

    def __init__(self, app: PromptLayerServer, port: int) -> None:
        self.app = app
        self._open: set[Connection] = set()
        self._open_lock = threading.Lock()
        super().__init__(("127.0.0.1", port), Connection)

    def opened(self, connection: Connection) -> None:
        with self._open_lock:
            self._open.add(connection)
        self.app._connected()

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
