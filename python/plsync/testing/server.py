"""The PromptLayer stand-in: a real, threaded HTTP server on 127.0.0.1."""

from __future__ import annotations

import contextlib
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import orjson

from plsync.testing.assertions import Assertions, is_log_of
from plsync.testing.connection import HTTPServer
from plsync.testing.endpoints import LEGACY_PATHS, all_routes
from plsync.testing.endpoints.http import Request, Response, error_response, json_response
from plsync.testing.faults import Fault, Faults
from plsync.testing.span_tree import SpanTree, trees_of
from plsync.testing.state.registry import Registry
from plsync.testing.state.storage import FullStorage, IdStorage
from plsync.testing.state.workspace import JSON, Workspace
from plsync.testing.tree_assertions import TreeAssertions

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["DEFAULT_API_KEY", "PromptLayerServer", "Received"]

DEFAULT_API_KEY = "pl_stand_in"


@dataclass(frozen=True)
class Received:
    """One request that the stand-in received, without the API key.

    >>> from plsync.testing import Received
    >>> Received("GET", "/prompt-templates", {}, b'{"page": 1}', 200).body
    {'page': 1}
    """

    method: str
    path: str
    headers: Mapping[str, str]
    """Header values by lower-case name."""
    content: bytes
    """The body."""
    status: int | None
    """The status of the response; None if the server sent no response."""
    fault: Fault | None = None
    """The injected fault, or None."""

    @cached_property
    def body(self) -> Any:
        """The parsed JSON body; None if the body is empty or not JSON."""
        try:
            return orjson.loads(self.content)
        except orjson.JSONDecodeError:
            return None


class PromptLayerServer(Faults, Assertions, TreeAssertions):
    """A PromptLayer stand-in that listens inside its ``with`` block.

    Args:
        api_key: the accepted key. Clients send it as ``X-API-KEY``; older SDK endpoints as ``api_key`` in the body.
        port: a port on 127.0.0.1; 0 for a free port.
        max_body: bytes of the longest request body; the response to a longer one is 413.
        search_per_minute: searches per minute; the response to any further search is 429. None for no limit.
        validate: whether spans and logs must match PromptLayer's OpenAPI file.
        latency: seconds that each response is delayed.
        lag: seconds before traces and searches show a log.
        first_request_id: the id of the first log, for tests that name ids; None for ids that no earlier server has
            returned.
        keep: ``"all"``, or ``"ids"`` to store only the ids of spans and logs, and no requests. A million records then
            take about 200 MB.

    Raises:
        OSError: on entering ``with``: the port is in use.

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
        first_request_id: int | None = None,
    ) -> None:
        super().__init__()
        self.api_key = api_key
        self.max_body = max_body
        self.latency = latency
        self.requests: list[Received] = []
        self._keeps_requests = keep == "all"
        self._port = port
        self._workspace_lock = threading.RLock()
        self._connection_count = 0
        self._request_count = 0
        self._registry = Registry()
        self._workspace = Workspace(FullStorage() if keep == "all" else IdStorage(), lag, first_request_id)
        self._routes = all_routes(
            self._workspace, self._registry, validate=validate, search_per_minute=search_per_minute
        )
        self._http: HTTPServer | None = None

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        self._hang_up()

    @property
    def url(self) -> str:
        """The base URL, for ``PROMPTLAYER_BASE_URL``: ``http://127.0.0.1:PORT``."""
        return f"http://127.0.0.1:{self._port}"

    @contextlib.contextmanager
    def offline(self) -> Iterator[None]:
        """Refuse every connection inside this ``with`` block; open connections are cut."""
        self._hang_up()
        try:
            yield
        finally:
            self._listen()

    @property
    def request_logs(self) -> list[JSON]:
        """Every request log, oldest first: the body as received, with ``id``, ``span_id`` and ``trace_id``."""
        with self._workspace_lock:
            logs = self._workspace.storage.logs()
        return list(logs)

    @property
    def spans(self) -> list[JSON]:
        """Every span as received, with its row ``id`` and ``request_log_id``."""
        with self._workspace_lock:
            spans = self._workspace.storage.spans()
        return list(spans)

    @property
    def trees(self) -> list[SpanTree]:
        """The tree of each trace, in the order in which the traces began.

        A trace is listed once its root span has arrived, as at PromptLayer.

        Raises:
            ValueError: the server keeps only ids, without names and parents.
        """
        if not self._keeps_requests:
            raise ValueError("a server with keep='ids' has no names and parents of spans; use keep='all' for trees")
        with self._workspace_lock:
            storage = self._workspace.storage
            spans, logs, closed = storage.spans(), storage.logs(), set(storage.closed())
            alone = self._workspace.logs_of_spans()
        return trees_of(spans, logs, closed, alone)

    @property
    def closed_traces(self) -> set[str]:
        """The ids of closed traces, which reject further spans."""
        with self._workspace_lock:
            return set(self._workspace.storage.closed())

    @property
    def scores(self) -> dict[int, dict[str, int]]:
        """Scores (0 to 100) by request id and score name."""
        with self._workspace_lock:
            return {request_id: dict(scores) for request_id, scores in self._workspace.scores.items()}

    @property
    def metadata(self) -> dict[int, dict[str, str]]:
        """Metadata by request id."""
        return {log["id"]: dict(log["metadata"]) for log in self.request_logs}

    @property
    def prompt_links(self) -> dict[int, JSON]:
        """Prompt links by request id: ``prompt_name``, ``version`` and ``input_variables``."""
        with self._workspace_lock:
            return {request_id: dict(link) for request_id, link in self._workspace.prompt_links.items()}

    @property
    def groups(self) -> dict[int, list[int]]:
        """Request ids by group id."""
        with self._workspace_lock:
            return {group_id: list(members) for group_id, members in self._workspace.groups.items()}

    @property
    def counts(self) -> dict[str, int]:
        """The numbers of ``connections``, ``requests``, ``faults``, ``spans`` and ``request_logs``."""
        with self._workspace_lock:
            return {
                "connections": self._connection_count,
                "requests": self._request_count,
                "faults": sum(self.faults_met.values()),
                "spans": self._workspace.spans_stored,
                "request_logs": self._workspace.logs_stored,
            }

    def logs_of(self, record_id: str) -> list[JSON]:
        """The request logs of one plsync record; two or more mean that it was delivered twice."""
        return [log for log in self.request_logs if is_log_of(log, record_id)]

    def add_prompt(
        self, name: str, template: JSON, *, labels: Iterable[str] = (), metadata: Mapping[str, Any] | None = None
    ) -> int:
        """Publish a version of a prompt template.

        Args:
            name: the name of the template.
            template: PromptLayer's prompt blueprint, a dict with ``type`` ``"completion"`` or ``"chat"``.
            labels: release labels that move to this version.
            metadata: metadata of the version, such as ``{"model": {...}}``.

        Returns:
            The version number, 1 for the first version.
        """
        with self._workspace_lock:
            return self._registry.add(name, template, labels=labels, metadata=metadata).number

    def handle(self, request: Request) -> Response:
        """The response to one request. Subclasses override this method to change a response."""
        if not self._authorised(request):
            return error_response(401, "Invalid API key")
        if request.path == "/stand-in/counts":
            return json_response(self.counts)
        if request.path == "/stand-in/trees" and self._keeps_requests:
            return json_response({"trees": [tree.as_json() for tree in self.trees]})
        refused = self.refused_status(request.body)
        if refused is not None:
            return error_response(refused, "The test refuses bodies with this text")
        with self._workspace_lock:
            return self._routes.respond(request)

    def record_request(self, request: Request, status: int | None, fault: Fault | None) -> None:
        """Add a request to ``requests``, without the API key."""
        with self._workspace_lock:
            self._request_count += 1
        if not self._keeps_requests:
            return
        shown = {key: value for key, value in request.headers.items() if key != "x-api-key"}
        content = request.body if self.api_key.encode() not in request.body else _without_key(request.body)
        self.requests.append(Received(request.method, request.path, shown, content, status, fault))

    def count_connection(self) -> None:
        """Count a new connection."""
        with self._workspace_lock:
            self._connection_count += 1

    def _authorised(self, request: Request) -> bool:
        if request.path.startswith(LEGACY_PATHS):
            return _is_equal(_key_in(request.body), self.api_key)
        return _is_equal(request.headers.get("x-api-key"), self.api_key)

    def _listen(self) -> None:
        self._http = HTTPServer(self, self._port)
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


def _is_equal(key: object, expected: str) -> bool:
    return isinstance(key, str) and secrets.compare_digest(key.encode(), expected.encode())


def _key_in(body: bytes) -> Any:
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
