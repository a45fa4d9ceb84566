"""Request bodies for the PromptLayer stand-in, and a client that sends them."""

from __future__ import annotations

from typing import Any

import httpx

from plsync.testing import PromptLayerServer

TRACE = "0193" * 8
LOG: dict[str, Any] = {
    "provider": "gpt4all",
    "model": "tiny",
    "input": {"type": "chat", "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}]},
    "output": {"type": "chat", "messages": [{"role": "assistant", "content": [{"type": "text", "text": "yo"}]}]},
    "request_start_time": "2026-11-22T10:00:00.000000Z",
    "request_end_time": "2026-11-22T10:00:01.000000Z",
}


def span(span_id: str = "a" * 16, trace_id: str = TRACE, **log: Any) -> dict[str, Any]:
    return {
        "name": "call",
        "context": {"trace_id": trace_id, "span_id": span_id, "trace_state": ""},
        "kind": "SpanKind.CLIENT",
        "parent_id": None,
        "start_time": 1,
        "end_time": 2,
        "status": {"status_code": "StatusCode.OK"},
        "attributes": {},
        "resource": {"attributes": {}, "schema_url": ""},
        "log_request": {**LOG, **log},
    }


def client_of(server: PromptLayerServer) -> httpx.Client:
    return httpx.Client(base_url=server.url, headers={"X-API-KEY": server.api_key}, trust_env=False, timeout=10)


def send(client: httpx.Client, *spans: dict[str, Any], close_after: bool = False) -> httpx.Response:
    return client.post("/spans-bulk", json={"spans": list(spans), "close_after": close_after})
