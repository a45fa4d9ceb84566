"""A server that answers as OpenAI's API does.

Shapes: OpenAI's API reference for ``/chat/completions``, ``/completions``, ``/embeddings`` and ``/responses``, and its
guide to streaming.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
from collections.abc import Iterator
from typing import Any

from tests.support.loopback_server import Connection, LoopbackServer

JSON = dict[str, Any]

USAGE = {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10, "prompt_tokens_details": {"cached_tokens": 3}}
TOOL_ARGUMENTS = {"city": "Paris"}


class OpenAIServer(LoopbackServer):
    """Answers on loopback with ``text``, or with a call of the offered tool.

    It calls a tool once a turn, with arguments of its schema: the numbers and the quoted words of the last message, or
    ``Paris``. It fills a response format in the same way.

    Attributes:
        requests: every request, in order.
        failure: the status, headers and error of every later answer.
        cut: True ends a stream with an error in place of the last piece.
    """

    def __init__(self, text: str = "Paris is it.") -> None:
        self.text = text
        self.failure: tuple[int, dict[str, str], JSON] | None = None
        self.cut = False
        self.requests: list[JSON] = []
        app = self

        class Handler(Connection):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                app.requests.append(request)
                if app.failure is not None:
                    status, headers, error = app.failure
                    return self._send(status, "application/json", json.dumps({"error": error}), headers)
                answer = {"/chat/completions": app.chat, "/completions": app.completion, "/responses": app.response}
                answer["/embeddings"] = app.embeddings
                # Azure puts the name of the deployment before the path, and its version behind it.
                path = self.path.partition("?")[0]
                response = next(answer[known] for known in answer if path.endswith(known))(request)
                if isinstance(response, dict):
                    return self._send(200, "application/json", json.dumps(response), {})
                events = "".join(f"data: {json.dumps(event)}\n\n" for event in response)
                return self._send(200, "text/event-stream", f"{events}data: [DONE]\n\n", {})

            def _send(self, status: int, kind: str, body: str, headers: dict[str, str]) -> None:
                self.send_response(status)
                content = {"Content-Type": kind, "Content-Length": str(len(body.encode()))}
                for name, value in {**content, **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body.encode())

        super().__init__(Handler)

    def chat(self, request: JSON) -> JSON | Iterator[JSON]:
        """``/chat/completions``."""
        if request.get("stream"):
            return self._chunks(request)
        message = self._message(request)
        reason = "tool_calls" if "tool_calls" in message else "stop"
        choice = {"index": 0, "finish_reason": reason, "message": {"role": "assistant", **message}}
        return _completion("chat.completion", request, choices=[choice], usage=USAGE)

    def _chunks(self, request: JSON) -> Iterator[JSON]:
        def chunk(delta: JSON, reason: str | None = None) -> JSON:
            choice = {"index": 0, "delta": delta, "finish_reason": reason}
            return _completion("chat.completion.chunk", request, choices=[choice])

        yield chunk({"role": "assistant", "content": ""})
        message = self._message(request)
        if "tool_calls" in message:
            (call,) = message["tool_calls"]
            whole = call["function"]["arguments"]
            pieces = [whole[at : at + 8] for at in range(0, len(whole), 8)]
            yield chunk({"tool_calls": [{"index": 0, **call, "function": {**call["function"], "arguments": ""}}]})
            for piece in pieces:
                yield chunk({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]})
        else:
            words = re.findall(r"\S+\s*", message["content"])
            yield from (chunk({"content": word}) for word in (words[:-1] if self.cut else words))
        if self.cut:
            yield {"error": {"message": "The server had an error.", "type": "server_error", "code": None}}
            return
        yield chunk({}, "tool_calls" if "tool_calls" in message else "stop")
        if (request.get("stream_options") or {}).get("include_usage"):
            yield _completion("chat.completion.chunk", request, choices=[], usage=USAGE)

    def _message(self, request: JSON) -> JSON:
        last = request["messages"][-1]
        if request.get("tools") and last["role"] != "tool":
            return _calls(request)
        form = request.get("response_format") or {"type": "text"}
        if form["type"] == "json_schema":
            return {"content": json.dumps(_filled(form["json_schema"]["schema"], last))}
        if form["type"] == "json_object":
            return {"content": json.dumps({name: "Paris" for name in _quoted(last)})}
        return {"content": self.text}

    def completion(self, request: JSON) -> JSON:
        """``/completions``."""
        choice = {"index": 0, "finish_reason": "stop", "text": self.text, "logprobs": None}
        return _completion("text_completion", request, choices=[choice], usage=USAGE)

    def embeddings(self, request: JSON) -> JSON:
        """``/embeddings``: texts with common words have similar vectors."""
        vectors = [_vector(text) for text in request["input"]]
        data = [{"object": "embedding", "index": number, "embedding": vector} for number, vector in enumerate(vectors)]
        return {"object": "list", "model": request["model"], "data": data, "usage": USAGE}

    def response(self, request: JSON) -> JSON:
        """``/responses``."""
        content = {"type": "output_text", "text": self.text, "annotations": []}
        message = {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed", "content": [content]}
        usage = {
            **{"input_tokens": 8, "output_tokens": 2, "total_tokens": 10},
            **{"input_tokens_details": {"cached_tokens": 3}, "output_tokens_details": {"reasoning_tokens": 1}},
        }
        answered = {
            "id": "resp_1",
            "object": "response",
            "created_at": 1,
            "model": request["model"],
            "output": [message],
        }
        settings = {"parallel_tool_calls": True, "tool_choice": "auto", "tools": []}
        return {**answered, **settings, "status": "completed", "error": None, "usage": usage}


def _vector(text: str) -> str:
    counts = [0.0] * 256
    for word in re.findall(r"\w+", text.lower()):
        counts[hashlib.sha256(word.encode()).digest()[0]] += 1.0
    return base64.b64encode(struct.pack("<256f", *counts)).decode()


def _completion(kind: str, request: JSON, **fields: Any) -> JSON:
    return {"id": "chatcmpl-1", "object": kind, "created": 1, "model": request["model"], **fields}


def _calls(request: JSON) -> JSON:
    tools = {tool["function"]["name"]: tool["function"] for tool in request["tools"]}
    choice = request.get("tool_choice")
    tool = tools[choice["function"]["name"]] if isinstance(choice, dict) else next(iter(tools.values()))
    arguments = _filled(tool.get("parameters") or {}, request["messages"][-1])
    function = {"name": tool["name"], "arguments": json.dumps(arguments)}
    return {"content": None, "tool_calls": [{"id": "call_1", "type": "function", "function": function}]}


def _filled(schema: JSON, message: JSON) -> JSON:
    """An object of a schema of strings and numbers."""
    numbers = iter(re.findall(r"\d+", str(message["content"])))
    words = iter(_quoted(message))
    return {
        name: int(next(numbers, 1)) if kind.get("type") in ("integer", "number") else next(words, "Paris")
        for name, kind in schema.get("properties", {}).items()
    }


def _quoted(message: JSON) -> list[str]:
    return re.findall(r"'([^']+)'", str(message["content"]))
