"""The stand-in's faults: which requests fail, how often, and how."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from plsync.testing import Fault, PromptLayerServer
from tests.support.stand_in import LOG


def log(client: httpx.Client, **options: Any) -> httpx.Response:
    return client.post("/log-request", json=LOG, **options)


def test_a_failure_happens_the_requested_number_of_times(client: httpx.Client, server: PromptLayerServer) -> None:
    server.fail(429, times=2, headers={"Retry-After": "3"}, path="/log-request")
    responses = [log(client) for _ in range(3)]
    assert [response.status_code for response in responses] == [429, 429, 201]
    assert responses[0].headers["Retry-After"] == "3"
    assert len(server.request_logs) == 1


def test_a_failure_can_come_after_the_request_was_processed(client: httpx.Client, server: PromptLayerServer) -> None:
    server.fail(500, processed=True)
    assert log(client).status_code == 500
    assert len(server.request_logs) == 1


def test_a_dropped_reply_leaves_the_log_behind(client: httpx.Client, server: PromptLayerServer) -> None:
    server.drop_reply()
    with pytest.raises(httpx.RemoteProtocolError):
        log(client)
    assert len(server.request_logs) == 1
    assert server.requests[-1].status is None


def test_a_hanging_server_lets_the_client_time_out(client: httpx.Client, server: PromptLayerServer) -> None:
    server.hang(60)
    with pytest.raises(httpx.ReadTimeout):
        log(client, timeout=0.1)


def test_stopping_the_server_releases_hanging_requests() -> None:
    started = time.monotonic()
    with PromptLayerServer() as server, httpx.Client(trust_env=False) as client:
        server.hang(60)
        with pytest.raises(httpx.ReadTimeout):
            client.get(f"{server.url}/nothing", timeout=0.1)
    assert time.monotonic() - started < 30


def test_an_offline_server_refuses_connections_and_comes_back(client: httpx.Client, server: PromptLayerServer) -> None:
    assert log(client).status_code == 201
    with server.offline(), pytest.raises(httpx.ConnectError):
        log(client)
    assert log(client).status_code == 201


def test_a_request_can_be_reset(client: httpx.Client, server: PromptLayerServer) -> None:
    server.reset()
    with pytest.raises(httpx.ReadError):
        log(client)
    assert (server.request_logs, server.requests[-1].status) == ([], None)


def test_a_reset_can_come_after_the_request_was_processed(client: httpx.Client, server: PromptLayerServer) -> None:
    server.reset(processed=True)
    with pytest.raises(httpx.ReadError):
        log(client)
    assert len(server.request_logs) == 1


def test_a_reset_can_come_before_the_body_is_read(server: PromptLayerServer) -> None:
    server.reset(unread=True)
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(b"POST /log-request HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


def test_a_response_can_be_truncated(client: httpx.Client, server: PromptLayerServer) -> None:
    server.truncate()
    with pytest.raises(httpx.RemoteProtocolError, match="complete message body"):
        log(client)
    assert len(server.request_logs) == 1


def test_a_response_can_come_in_pieces(client: httpx.Client, server: PromptLayerServer) -> None:
    server.trickle(0.2)
    with client.stream("POST", "/log-request", json=LOG) as response:
        assert len(list(response.iter_raw())) > 1
    assert len(server.request_logs) == 1


def test_a_response_can_be_garbage(client: httpx.Client, server: PromptLayerServer) -> None:
    server.garbage()
    response = log(client)
    assert (response.status_code, response.headers["Content-Type"]) == (201, "application/json")
    with pytest.raises(ValueError, match=r"codec|JSON|Expecting"):
        response.json()


def test_a_captive_portal_can_respond(client: httpx.Client, server: PromptLayerServer) -> None:
    server.portal()
    response = log(client)
    assert (response.status_code, response.headers["Content-Type"]) == (200, "text/html")
    assert server.request_logs == []


def test_a_response_can_have_another_content_type(client: httpx.Client, server: PromptLayerServer) -> None:
    server.fail(201, headers={"Content-Type": "text/plain"}, body=b"{}")
    assert log(client).headers.get_list("Content-Type") == ["text/plain"]


def test_a_body_with_a_refused_text_is_refused(client: httpx.Client, server: PromptLayerServer) -> None:
    server.refuse("poison", 413)
    assert [client.post("/log-request", json={**LOG, "tags": [tag]}).status_code for tag in ("poison", "p")] == [
        413,
        201,
    ]
    server.clear()
    assert client.post("/log-request", json={**LOG, "tags": ["poison"]}).status_code == 201


def test_faults_are_recorded_with_their_requests(client: httpx.Client, server: PromptLayerServer) -> None:
    server.fail(503)
    log(client)
    log(client)
    assert [request.fault and request.fault.kind for request in server.requests] == ["fail", None]
    assert (server.faults_met, server.counts["faults"]) == ({"fail": 1}, 1)


def outcomes(plan: Callable[[PromptLayerServer], None], paths: list[str]) -> list[int]:
    with PromptLayerServer() as server, httpx.Client(trust_env=False) as client:
        plan(server)
        headers = {"X-API-KEY": server.api_key}
        return [client.get(f"{server.url}{path}", headers=headers).status_code for path in paths]


def test_a_plan_fails_a_fraction_of_the_requests_and_repeats_with_its_seed() -> None:
    def plan(seed: int) -> list[int]:
        faults = [Fault("fail", status=500), Fault("fail", status=503)]
        return outcomes(lambda server: server.plan(fraction=0.5, seed=seed, faults=faults), ["/nothing"] * 100)

    first = plan(1)
    assert set(first) == {404, 500, 503}
    assert 30 < len([status for status in first if status != 404]) < 70
    assert plan(1) == first != plan(2)


def test_a_plan_can_be_limited_to_a_path() -> None:
    def plan(server: PromptLayerServer) -> None:
        server.plan(fraction=1.0, faults=[Fault("fail", status=500)], path="/spans")

    assert outcomes(plan, ["/spans-bulk", "/nothing", "/spans-bulk"]) == [500, 404, 500]


def test_queued_faults_come_before_planned_faults(client: httpx.Client, server: PromptLayerServer) -> None:
    server.plan(fraction=1.0, faults=[Fault("fail", status=500)])
    server.fail(418)
    assert [log(client).status_code for _ in range(2)] == [418, 500]
    server.clear()
    assert log(client).status_code == 201


@pytest.mark.parametrize("wrong", [{"fraction": 1.1}, {"fraction": -0.1}, {"fraction": 0.5, "faults": []}])
def test_an_invalid_plan_is_rejected(server: PromptLayerServer, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="fraction"):
        server.plan(**wrong)


def test_the_server_works_after_every_network_fault(client: httpx.Client, server: PromptLayerServer) -> None:
    server.plan(fraction=0.5, seed=3)
    met = 0
    for _ in range(200):
        try:
            met += log(client).status_code != 201
        except httpx.TransportError:
            met += 1
    assert met > 50
    server.clear()
    assert log(client).status_code == 201
