"""Web pages can neither write to the stand-in nor read from it, and no request makes it print a traceback."""

from __future__ import annotations

import socket

import httpx
import orjson
import pytest

from plsync.testing import PromptLayerServer
from tests.support.stand_in import LOG

LEGACY = orjson.dumps(
    {"function_name": "f", "args": [], "kwargs": {}, "request_response": {}, "api_key": "pl_stand_in"}
)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8000"},
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "localhost.evil.example"},
        {"Host": "127.0.0.1@evil.example"},
        {"Host": "10.0.0.1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-origin"},
    ],
    ids=str,
)
def test_a_request_of_a_web_page_is_refused(
    client: httpx.Client, server: PromptLayerServer, headers: dict[str, str]
) -> None:
    server.fail(500)
    assert client.post("/log-request", json=LOG, headers=headers).status_code == 403
    assert client.get("/stand-in/counts", headers=headers).status_code == 403
    page = {"Content-Type": "text/plain", **headers}
    assert client.post("/track-request", content=LEGACY, headers=page).status_code == 403
    assert client.options("/log-request", headers=headers).status_code in {403, 501}
    assert server.request_logs == []
    assert server.requests == []
    # The fault is for the test's own next request.
    assert client.get("/prompt-templates").status_code == 500


@pytest.mark.parametrize("host", ["127.0.0.1", "LOCALHOST:1", "[::1]:9000", "localhost"])
def test_a_program_may_use_any_name_of_this_machine(client: httpx.Client, host: str) -> None:
    assert client.post("/log-request", json=LOG, headers={"Host": host}).status_code == 201


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST /log-request HTTP/1.1\r\nHost: localhost\r\nContent-Length: " + b"9" * 6000 + b"\r\n\r\n", b"400"),
        (b"POST /log-request HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", b"411"),
        (b"POST /log-request HTTP/1.1\r\nHost: localhost\r\nContent-Length: \xb2\r\n\r\n", b"411"),
        (b"POST /log-request HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\n", b"413"),
        (b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
        (b"GET " + b"/a" * 40000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", b"414"),
        (b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nA: " + b"b" * 70000 + b"\r\n\r\n", b"431"),
        (b"\x16\x03\x01\x02\x00\r\n\r\n", b"400"),
    ],
    ids=range(9),
)
def test_a_malformed_request_has_a_response_and_no_traceback(
    server: PromptLayerServer, capfd: pytest.CaptureFixture[str], request_bytes: bytes, status: bytes
) -> None:
    address = ("127.0.0.1", int(server.url.rpartition(":")[2]))
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(request_bytes)
        assert status in connection.recv(65536)[:400]
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("request_id", ["9" * 6000, "-1", "²", "0", "1e3", "%00"])
def test_an_id_of_any_form_is_not_found(client: httpx.Client, request_id: str) -> None:
    assert client.get(f"/api/public/v2/requests/{request_id}").status_code in {404, 422}
    body = {"request_id": request_id, "score": 1}
    assert client.post("/rest/track-score", json=body).status_code in {400, 404, 422}


def test_ids_differ_between_servers_unless_a_test_sets_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    for first in (1, 5000):
        with PromptLayerServer(first_request_id=first) as server:
            headers = {"X-API-KEY": server.api_key}
            response = httpx.post(f"{server.url}/log-request", json=LOG, headers=headers, trust_env=False)
        assert response.json()["id"] == first
