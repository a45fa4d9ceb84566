"""The endpoints of the stand-in respond as PromptLayer documents them."""

from __future__ import annotations

import copy
import gzip
import json
import subprocess
import sys
import time
from typing import Any

import httpx
import pytest

from plsync.testing import PromptLayerServer
from tests.support.stand_in import LOG, TRACE, client_of, send, span


def test_a_batch_returns_request_ids_by_span_id(client: httpx.Client, server: PromptLayerServer) -> None:
    response = send(client, span("a" * 16), span("b" * 16))
    assert response.status_code == 201
    assert {log["span_id"] for log in response.json()["request_logs"]} == {"a" * 16, "b" * 16}
    assert [log["id"] for log in server.request_logs] == [log["id"] for log in response.json()["request_logs"]]


def test_a_batch_with_one_bad_span_stores_nothing(client: httpx.Client, server: PromptLayerServer) -> None:
    response = send(client, span("a" * 16), span("b" * 16, score=101))
    assert response.status_code == 422
    assert response.json()["detail"][0]["loc"] == ["spans", 1, "log_request", "score"]
    assert server.spans == []


def test_the_first_span_with_an_id_wins_within_a_batch(client: httpx.Client, server: PromptLayerServer) -> None:
    send(client, span(model="first"), span(model="second"))
    assert [log["model"] for log in server.request_logs] == ["first"]


def test_a_closed_trace_rejects_further_spans(client: httpx.Client, server: PromptLayerServer) -> None:
    send(client, span(), close_after=True)
    again = send(client, span(), close_after=True).json()
    assert again["rejection_reason"] == "trace_closed"
    assert again["rejected_span_ids"] == ["a" * 16]
    assert len(server.request_logs) == 1


def test_a_trace_can_be_closed_once(client: httpx.Client) -> None:
    send(client, span())
    path = f"/api/public/v2/traces/{TRACE}/close"
    assert client.post(path, json={}).status_code == 201
    assert client.post(path, json={}).status_code == 409


def test_a_log_that_names_an_unknown_prompt_is_skipped_silently(client: httpx.Client) -> None:
    response = send(client, span(prompt_name="nowhere")).json()
    assert response["success"] and response["spans"] and not response["request_logs"]


def test_a_trace_lists_the_request_ids_of_its_spans(client: httpx.Client) -> None:
    request_id = send(client, span()).json()["request_logs"][0]["id"]
    trace = client.get(f"/api/public/v2/traces/{TRACE}").json()
    assert trace["spans"][0]["request_log_id"] == request_id


def test_an_unknown_trace_is_404(client: httpx.Client) -> None:
    assert client.get(f"/api/public/v2/traces/{TRACE}").status_code == 404


def test_a_request_can_be_read_back(client: httpx.Client) -> None:
    request_id = client.post("/log-request", json=LOG).json()["id"]
    read = client.get(f"/api/public/v2/requests/{request_id}").json()
    assert read["request_id"] == request_id
    assert read["prompt_blueprint"]["prompt_template"] == LOG["input"]


def test_search_finds_requests_by_metadata(client: httpx.Client) -> None:
    ids = [
        client.post("/log-request", json={**LOG, "metadata": {"plsync_id": value}}).json()["id"]
        for value in ("x", "y", "z")
    ]

    def found(operator: str, value: Any) -> set[int]:
        condition = {"field": "metadata", "operator": operator, "nested_key": "plsync_id", "value": value}
        body = {"filter_group": {"filters": [condition]}}
        return {item["id"] for item in client.post("/api/public/v2/requests/search", json=body).json()["items"]}

    assert found("key_equals", "y") == {ids[1]}
    assert found("in", ["x", "z"]) == {ids[0], ids[2]}


def test_searches_are_limited() -> None:
    body: dict[str, Any] = {"filter_group": {"filters": []}}
    with PromptLayerServer(search_per_minute=1) as server, client_of(server) as client:
        statuses = [client.post("/api/public/v2/requests/search", json=body).status_code for _ in range(2)]
    assert statuses == [200, 429]


@pytest.mark.parametrize(
    "change",
    [
        {"provider": None},
        {"model": ""},
        {"input": {"type": "chat", "messages": [{"role": "user", "content": "a plain string"}]}},
        {"input": {"type": "chat", "messages": [{"role": "robot", "content": []}]}},
        {"output": {"type": "completion", "content": [{"type": "hologram", "text": "x"}]}},
        {"output": {"messages": []}},
        {"tags": ["x" * 513]},
        {"metadata": {"k": 1}},
        {"metadata": {"k" * 1025: "v"}},
        {"score": 99.5},
        {"score": -1},
        {"status": "FINE"},
        {"status": "SUCCESS", "error_type": "PROVIDER_ERROR"},
        {"status": "ERROR", "error_type": "BAD_LUCK"},
        {"error_message": "x" * 1025},
        {"input_tokens": -1},
        {"request_start_time": "yesterday"},
    ],
)
def test_a_malformed_log_is_refused_with_its_reason(client: httpx.Client, change: dict[str, Any]) -> None:
    response = client.post("/log-request", json={**LOG, **change})
    assert response.status_code == 422
    assert response.json()["detail"]


@pytest.mark.parametrize("missing", LOG)
def test_every_required_field_of_a_log_is_required(client: httpx.Client, missing: str) -> None:
    body = copy.deepcopy(LOG)
    del body[missing]
    assert client.post("/log-request", json=body).status_code == 422


def test_a_log_without_times_is_accepted_with_its_span(client: httpx.Client) -> None:
    timeless = span()
    del timeless["log_request"]["request_start_time"], timeless["log_request"]["request_end_time"]
    assert send(client, timeless).status_code == 201


@pytest.mark.parametrize("score", [101, -1, 50.5, "50", True])
def test_a_score_is_a_whole_number_up_to_100(client: httpx.Client, score: Any) -> None:
    request_id = client.post("/log-request", json=LOG).json()["id"]
    response = client.post("/rest/track-score", json={"request_id": request_id, "score": score})
    assert response.status_code == 422


def test_followups_reach_their_request(client: httpx.Client, server: PromptLayerServer) -> None:
    server.add_prompt("greeting", {"type": "completion", "content": []})
    request_id = client.post("/log-request", json=LOG).json()["id"]
    bodies: dict[str, dict[str, Any]] = {
        "score": {"score": 7, "name": "wit"},
        "metadata": {"metadata": {"user": "u1"}},
        "prompt": {"prompt_name": "greeting"},
    }
    for kind, body in bodies.items():
        assert client.post(f"/rest/track-{kind}", json={"request_id": request_id, **body}).status_code == 200
    assert server.scores == {request_id: {"wit": 7}}
    assert server.metadata[request_id] == {"user": "u1"}
    assert server.prompt_links[request_id]["version"] == 1


def test_prompt_templates_are_found_by_version_and_label(client: httpx.Client, server: PromptLayerServer) -> None:
    for text in ("one", "two"):
        server.add_prompt("a/b", {"type": "completion", "content": [{"type": "text", "text": text}]}, labels=["prod"])
    path = "/prompt-templates/a%2Fb"
    assert client.get(path, params={"version": 1}).json()["version"] == 1
    assert client.get(path, params={"label": "prod"}).json()["version"] == 2
    assert client.get(path, params={"label": "dev"}).status_code == 404


def test_a_wrong_key_is_refused(client: httpx.Client, server: PromptLayerServer) -> None:
    response = client.post("/log-request", json=LOG, headers={"X-API-KEY": "pl_other"})
    assert response.status_code == 401
    assert server.request_logs == []


def test_received_requests_hold_no_key(client: httpx.Client, server: PromptLayerServer) -> None:
    client.post("/create-group", json={"api_key": server.api_key})
    assert server.api_key not in repr(server.requests)


def test_other_methods_are_not_allowed(client: httpx.Client, server: PromptLayerServer) -> None:
    responses = [client.put("/log-request", json=LOG), client.patch("/log-request"), client.delete("/log-request")]
    assert [response.status_code for response in responses] == [405, 405, 405]
    assert [request.method for request in server.requests] == ["PUT", "PATCH", "DELETE"]
    assert client.get("/log-request").json()["message"] == "Method not allowed"


def test_a_body_that_is_too_large_is_refused_unread() -> None:
    with PromptLayerServer(max_body=100) as server, httpx.Client(trust_env=False) as client:
        response = client.post(f"{server.url}/log-request", content=b"x" * 101)
    assert response.status_code == 413
    assert response.headers["Connection"] == "close"


def test_without_validation_spans_of_any_shape_are_accepted() -> None:
    with PromptLayerServer(validate=False) as server, client_of(server) as client:
        assert send(client, span(score=101)).status_code == 201
        assert client.post("/spans-bulk", json={"spans": [{"name": "no context"}]}).status_code == 422


def test_traces_and_searches_show_a_log_after_the_lag() -> None:
    with PromptLayerServer(lag=3600) as server, client_of(server) as client:
        assert send(client, span(metadata={"plsync_id": "x"})).json()["request_logs"]
        assert client.get(f"/api/public/v2/traces/{TRACE}").json()["spans"][0]["request_log_id"] is None
        condition = {"field": "metadata", "operator": "key_equals", "nested_key": "plsync_id", "value": "x"}
        found = client.post("/api/public/v2/requests/search", json={"filter_group": {"filters": [condition]}})
        assert found.json()["items"] == []


def test_a_log_shows_when_the_lag_has_passed() -> None:
    with PromptLayerServer(lag=0.01) as server, client_of(server) as client:
        request_id = send(client, span()).json()["request_logs"][0]["id"]
        deadline = time.monotonic() + 30
        while client.get(f"/api/public/v2/traces/{TRACE}").json()["spans"][0]["request_log_id"] != request_id:
            assert time.monotonic() < deadline


def test_a_response_is_delayed_by_the_latency() -> None:
    with PromptLayerServer(latency=0.05) as server, client_of(server) as client:
        started = time.monotonic()
        client.get("/nothing")
        assert time.monotonic() - started >= 0.05


def test_the_server_can_keep_ids_alone() -> None:
    with PromptLayerServer(keep="ids") as server, client_of(server) as client:
        ids = [log["id"] for log in send(client, span("a" * 16), span("b" * 16)).json()["request_logs"]]
        send(client, span("a" * 16, trace_id="0194" * 8), close_after=True)
        trace = client.get(f"/api/public/v2/traces/{TRACE}").json()["spans"]
        assert [(row["span_id"], row["request_log_id"]) for row in trace] == [("a" * 16, ids[0]), ("b" * 16, ids[1])]
        assert (server.requests, server.closed_traces) == ([], {"0194" * 8})
        assert [log["id"] for log in server.request_logs] == [1001, 1002, 1003]
        assert send(client, span("a" * 16, trace_id="0194" * 8)).json()["rejection_reason"] == "trace_closed"


def test_a_span_sent_twice_has_two_logs_in_either_storage() -> None:
    for keep in ("all", "ids"):
        with PromptLayerServer(keep=keep) as server, client_of(server) as client:
            first, second = (send(client, span()).json() for _ in range(2))
            assert first["spans"] == second["spans"]
            trace = client.get(f"/api/public/v2/traces/{TRACE}").json()["spans"]
            assert [row["request_log_id"] for row in trace] == [second["request_logs"][0]["id"]]
            assert len(server.request_logs) == 2


def test_connections_and_requests_are_counted(server: PromptLayerServer) -> None:
    for _ in range(2):
        with client_of(server) as client:
            send(client, span())
            counts = client.get("/stand-in/counts").json()
    assert counts == {"connections": 2, "requests": 3, "faults": 0, "spans": 2, "request_logs": 2}
    assert server.counts["requests"] == 4


def test_a_body_may_be_compressed(client: httpx.Client, server: PromptLayerServer) -> None:
    content = gzip.compress(json.dumps({"spans": [span()]}).encode())
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    assert client.post("/spans-bulk", content=content, headers=headers).status_code == 201
    assert client.post("/spans-bulk", content=b"not gzip", headers=headers).status_code == 400


def test_a_body_that_is_too_large_unpacked_is_refused() -> None:
    with PromptLayerServer(max_body=100_000) as server, client_of(server) as client:
        content = gzip.compress(b"[" + b" " * 100_000)
        assert client.post("/spans-bulk", content=content, headers={"Content-Encoding": "gzip"}).status_code == 413


def test_a_missing_pydantic_is_an_error_that_names_the_package() -> None:
    program = "import sys; sys.modules['pydantic'] = None; import plsync.testing; plsync.testing.PromptLayerServer"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert "ImportError: plsync.testing needs pydantic" in done.stderr
    assert "pip install 'pydantic" in done.stderr
