"""Endpoints for other clients than plsync: OpenTelemetry, and PromptLayer's older clients."""

from __future__ import annotations

import base64
import json
import re
import sys
from typing import Any

import httpx
import pytest
from google.protobuf.json_format import ParseDict
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from plsync.testing import PromptLayerServer

TRACE, SPAN = "0193" * 8, "ab" * 8


def export(*spans: dict[str, Any]) -> dict[str, Any]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": list(spans)}]}]}


def span(**change: Any) -> dict[str, Any]:
    attributes = [
        {"key": "gen_ai.request.model", "value": {"stringValue": "gpt-4o"}},
        {"key": "gen_ai.usage.input_tokens", "value": {"intValue": "3"}},
        {"key": "stop", "value": {"arrayValue": {"values": [{"stringValue": "x"}]}}},
    ]
    times = {"startTimeUnixNano": "1", "endTimeUnixNano": "2"}
    return {"traceId": TRACE, "spanId": SPAN, "name": "chat", "kind": 3, "attributes": attributes, **times, **change}


def test_spans_of_opentelemetry_are_stored(client: httpx.Client, server: PromptLayerServer) -> None:
    response = client.post("/v1/traces", json=export(span(status={"code": 2})))
    assert (response.status_code, response.json()) == (200, {"partialSuccess": None})
    (stored,) = server.spans
    assert (stored["trace_id"], stored["span_id"], stored["kind"]) == (TRACE, SPAN, "SpanKind.CLIENT")
    assert stored["attributes"] == {"gen_ai.request.model": "gpt-4o", "gen_ai.usage.input_tokens": 3, "stop": ["x"]}
    assert stored["status"] == {"status_code": "StatusCode.ERROR"}


@pytest.mark.parametrize("protobuf", [False, True])
def test_links_of_spans_are_stored(client: httpx.Client, server: PromptLayerServer, protobuf: bool) -> None:
    other = "0194" * 8
    attributes = [{"key": "reason", "value": {"stringValue": "late"}}]
    body = export(
        span(name="root"), span(traceId=other, links=[{"traceId": TRACE, "spanId": SPAN, "attributes": attributes}])
    )
    if protobuf:
        message = ParseDict(_with_base64(body), ExportTraceServiceRequest()).SerializeToString()
        client.post("/v1/traces", content=message, headers={"Content-Type": "application/x-protobuf"})
    else:
        client.post("/v1/traces", json=body)
    (late,) = server.tree("root").linked
    (link,) = late.span["links"]
    assert (link["context"]["span_id"], link["attributes"]) == (SPAN, {"reason": "late"})


def _with_base64(body: dict[str, Any]) -> Any:
    """The body as protobuf's own JSON, which has ids in base64."""
    text = json.dumps(body)
    for value in set(re.findall('"([0-9a-f]{16,32})"', text)):
        text = text.replace(f'"{value}"', f'"{base64.b64encode(bytes.fromhex(value)).decode()}"')
    return json.loads(text)


def test_spans_with_invalid_ids_are_rejected(client: httpx.Client, server: PromptLayerServer) -> None:
    response = client.post("/v1/traces", json=export(span(), span(spanId="ab")))
    assert response.json()["partialSuccess"]["rejectedSpans"] == 1
    assert len(server.spans) == 1


def test_a_closed_trace_is_a_conflict(client: httpx.Client) -> None:
    assert client.post("/v1/traces", params={"close_after": "true"}, json=export(span())).status_code == 200
    response = client.post("/v1/traces", json=export(span(spanId="cd" * 8)))
    assert (response.status_code, response.json()["trace_ids"]) == (409, [TRACE])


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{}", "text/plain", 415),
        (b"{", "application/json", 400),
        (b"{}", "application/json", 422),
        (b"\xff", "application/x-protobuf", 422),
        (b"", "application/x-protobuf", 422),
    ],
)
def test_a_body_that_is_not_an_export_is_refused(client: httpx.Client, content: bytes, kind: str, status: int) -> None:
    assert client.post("/v1/traces", content=content, headers={"Content-Type": kind}).status_code == status


def test_protobuf_without_its_packages_is_refused_with_their_name(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.proto.collector.trace.v1.trace_service_pb2", None)
    response = client.post("/v1/traces", content=b"", headers={"Content-Type": "application/x-protobuf"})
    assert (response.status_code, "opentelemetry-proto" in response.json()["message"]) == (501, True)


def test_texts_of_the_old_langchain_handler_are_logged(server: PromptLayerServer) -> None:
    """The body of langchain-community's handler, with promptlayer 1.0.11."""
    body = {
        "function_name": "langchain_core.language_models.fake.FakeListLLM",
        "provider_type": "langchain",
        "args": ["hi"],
        "kwargs": {"responses": ["hello"], "_type": "fake-list", "stop": None},
        "tags": ["t"],
        "request_response": {"text": "hello", "llm_output": None},
        "request_start_time": 1795378479.779262,
        "request_end_time": 1795378479.779364,
        "metadata": {"_langchain_run_id": "01a204e5"},
        "api_key": server.api_key,
    }
    response = httpx.post(f"{server.url}/track-request", json=body, trust_env=False)
    log = server.assert_logged(prompt="hi", answer="hello", tag="t", metadata={"_langchain_run_id": "01a204e5"})
    assert response.json()["request_id"] == log["id"]
    assert "api_key" not in log


def test_chats_of_the_old_langchain_handler_are_logged(server: PromptLayerServer) -> None:
    body = {
        "function_name": "langchain_openai.ChatOpenAI",
        "args": [{"role": "system", "content": "sys"}, {"role": "user", "content": "hi"}],
        "kwargs": {"model": "gpt-4o"},
        "request_response": [{"role": "assistant", "content": "yo"}],
        "request_start_time": 1.0,
        "request_end_time": 2.0,
        "api_key": server.api_key,
    }
    assert httpx.post(f"{server.url}/rest/track-request", json=body, trust_env=False).status_code == 200
    log = server.assert_logged(prompt="hi", answer="yo", model="gpt-4o")
    assert [message["role"] for message in log["input"]["messages"]] == ["system", "user"]


def test_the_key_of_the_older_endpoints_is_in_the_body(client: httpx.Client, server: PromptLayerServer) -> None:
    for path in ("/track-request", "/create-group", "/library-track-score", "/track-group"):
        assert client.post(path, json={"api_key": "pl_other"}).status_code == 401
    assert client.post("/create-group", json={"api_key": server.api_key}).json() == {"success": True, "id": 1}
