"""A server of OpenAI's chat completions whose stream waits before its first word and after its last."""

from __future__ import annotations

import json
import threading
from typing import Any

from tests.support.loopback_server import Connection, LoopbackServer


class PausingServer(LoopbackServer):
    """Streams the role, waits for ``speak``, streams ``words``, waits for ``finish``, and ends.

    Attributes:
        began: set when the role was sent.
        spoke: set when the words were sent.
    """

    def __init__(self, words: tuple[str, ...] = ("Paris ", "is ", "it.")) -> None:
        self.began, self.speak, self.spoke, self.finish = (threading.Event() for _ in range(4))
        server = self

        class Handler(Connection):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                try:
                    self._stream()
                except OSError:
                    """The client has gone."""

            def _stream(self) -> None:
                self._send({"role": "assistant", "content": ""})
                server.began.set()
                server.speak.wait(30)
                for word in words:
                    self._send({"content": word})
                server.spoke.set()
                server.finish.wait(30)
                self._send({}, "stop")
                self.wfile.write(b"data: [DONE]\n\n")

            def _send(self, delta: dict[str, Any], reason: str | None = None) -> None:
                choice = {"index": 0, "delta": delta, "finish_reason": reason}
                chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
                self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
                self.wfile.flush()

        super().__init__(Handler)

    def release(self) -> None:
        for event in (self.speak, self.finish):
            event.set()
