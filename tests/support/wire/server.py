"""A server on loopback. The wire format of each provider is a function that makes its answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from tests.support.loopback_server import Connection, LoopbackServer

JSON = dict[str, Any]

TEXT = "Paris is it."
WORDS = ("Paris ", "is ", "it.")
FILLED = {"name": "Paris"}
INPUT_TOKENS, OUTPUT_TOKENS = 8, 2


class Answer(NamedTuple):
    """The parts of a body, which the server sends one after the other."""

    kind: str
    parts: Iterable[bytes]
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


def vector_of(text: str) -> list[float]:
    """The vector that every wire format returns for a text: whole numbers, and numbers that 32 bits do not hold."""
    return [0, 0.1 * len(text), 0.5, -1.25e-05, 1]


Format = Callable[[str, JSON], Answer]
"""Takes the path and the parsed body of a request."""


def json_answer(body: Any, status: int = 200, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    return Answer("application/json", [json.dumps(body).encode()], status, headers)


def sse(events: Iterable[JSON], *, named: bool = False, done: bool = False) -> Answer:
    """Server-sent events; with ``named`` each has the name of its type, and ``done`` appends OpenAI's last line."""
    parts = [
        (f"event: {event['type']}\n" if named else "").encode() + b"data: " + json.dumps(event).encode() + b"\n\n"
        for event in events
    ]
    return Answer("text/event-stream", [*parts, b"data: [DONE]\n\n"] if done else parts)


class WireServer(LoopbackServer):
    """Answers every request with ``answer``, or with ``failure`` when it is set.

    Attributes:
        requests: the path and the body of every request, in order.
        failure: the answer to every later request.
        held: answers wait until the event is set.
        arrived: is set when a request arrives.
    """

    def __init__(self, answer: Format) -> None:
        self.requests: list[tuple[str, JSON]] = []
        self.failure: Answer | None = None
        self.held = threading.Event()
        self.held.set()
        self.arrived = threading.Event()
        app = self

        class Handler(Connection):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._send(json_answer({"object": "list", "data": [{"id": "m", "object": "model"}]}))

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                app.requests.append((self.path, body))
                app.arrived.set()
                app.held.wait(30)
                self._send(app.failure or answer(self.path, body))

            def _send(self, sent: Answer) -> None:
                body = b"".join(sent.parts)
                self.send_response(sent.status)
                for name, value in (
                    ("Content-Type", sent.kind),
                    ("Content-Length", str(len(body))),
                    *sent.headers,
                ):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

        super().__init__(Handler)

    def release(self) -> None:
        self.held.set()
