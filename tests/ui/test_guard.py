"""Which requests the page answers: hosts, origins, tokens and methods, each with each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest
from starlette.testclient import TestClient
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plsync.ui.guard import Guard
from tests.support.calls import write_calls
from tests.support.page import HOST, TOKEN, page_of

HOSTS = {
    HOST: True,
    "127.0.0.1": True,
    "localhost": True,
    "LOCALHOST:80": True,
    "[::1]": True,
    "[::1]:7717": True,
    "evil.example": False,
    "127.0.0.1.evil.example": False,
    "localhost.evil.example:7717": False,
    "127.0.0.1:7717@evil.example": False,
    "127.0.0.2": False,
    "0.0.0.0": False,  # noqa: S104 - refused
    "[::]": False,
    "127.0.0.1:x": False,
    "": False,
}
# The headers by which a browser names the origin of a request, and whether reads and writes are answered.
ORIGINS: dict[str, tuple[dict[str, str], bool, bool]] = {
    "the page": ({"sec-fetch-site": "same-origin", "origin": "http://{host}"}, True, True),
    "the page, an old browser": ({"origin": "http://{host}"}, True, True),
    "no browser": ({}, True, False),
    "another site": ({"sec-fetch-site": "cross-site", "origin": "https://evil.example"}, False, False),
    "another port": ({"sec-fetch-site": "same-site", "origin": "http://127.0.0.1:9"}, False, False),
    "another site, an old browser": ({"origin": "https://evil.example"}, False, False),
    "a file": ({"sec-fetch-site": "cross-site", "origin": "null"}, False, False),
    "an address that was typed": ({"sec-fetch-site": "none"}, False, False),
    "https of the host": ({"origin": "https://{host}"}, False, False),
    "both": ({"sec-fetch-site": "same-origin", "origin": "https://evil.example"}, False, False),
}
TOKENS = {
    f"Bearer {TOKEN}": True,
    f"Bearer {TOKEN} ": False,
    f"bearer {TOKEN}": False,
    f"Bearer {TOKEN[:-1]}": False,
    "Bearer ": False,
    "Basic dDp0": False,
    "Bearer ÿ": False,
    "": False,
}
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT")


@pytest.fixture(scope="module")
def guarded_page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    path = tmp_path_factory.mktemp("page") / "journal"
    write_calls(path, 2)
    with page_of(path) as client:
        client.headers.clear()
        yield client


async def status_of(app: ASGIApp, method: str, path: str, headers: dict[str, str]) -> int:
    """The status of a request, without a client that would add headers."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b'{"followups": true}', "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    raw = [(key.encode(), value.encode("latin-1")) for key, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "query_string": b"", "headers": raw}
    await app(scope, receive, send)
    return int(sent[0]["status"])


async def test_a_request_is_answered_only_with_a_host_an_origin_a_token_and_a_method_of_the_page() -> None:
    async def answered(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    guarded = Guard(answered, TOKEN)
    for (host, is_host), (name, origin), (token, is_token), method in itertools.product(
        HOSTS.items(), ORIGINS.items(), TOKENS.items(), METHODS
    ):
        headers, may_read, may_write = origin
        sent = {"host": host, **{key: value.format(host=host) for key, value in headers.items()}}
        sent |= {"authorization": token} if token else {}
        sent |= {"content-type": "application/json"} if method == "POST" else {}
        if not is_host:
            expected = 403
        elif method not in ("GET", "HEAD", "POST"):
            expected = 405
        elif not (may_write if method == "POST" else may_read):
            expected = 403
        else:
            expected = 200 if is_token else 401
        assert await status_of(guarded, method, "/api/any", sent) == expected, (host, name, token, method)


@pytest.mark.parametrize("host", [host for host in HOSTS if host])
def test_the_page_itself_answers_at_its_own_hosts_alone(guarded_page: TestClient, host: str) -> None:
    sent = {"host": host, "authorization": f"Bearer {TOKEN}", "sec-fetch-site": "same-origin"}
    expected = 200 if HOSTS[host] else 403
    assert guarded_page.get("/", headers={"host": host}).status_code == expected
    assert guarded_page.get("/api/count", headers=sent).status_code == expected
    assert guarded_page.post("/api/retry", headers=sent, json={"followups": True}).status_code == expected


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_form_of_another_page_writes_nothing(guarded_page: TestClient, kind: str) -> None:
    headers = {"authorization": f"Bearer {TOKEN}", "origin": f"http://{HOST}", "content-type": kind}
    assert guarded_page.post("/api/retry", headers=headers, content=b'{"followups": true}').status_code == 415


def test_a_token_in_the_address_or_in_a_cookie_opens_nothing(guarded_page: TestClient) -> None:
    assert guarded_page.get(f"/api/count?t={TOKEN}&token={TOKEN}").status_code == 401
    assert (
        guarded_page.get("/api/count", headers={"cookie": f"token={TOKEN}; Authorization={TOKEN}"}).status_code == 401
    )


def test_two_hosts_or_two_tokens_are_refused(guarded_page: TestClient) -> None:
    token = (b"authorization", f"Bearer {TOKEN}".encode())
    host = (b"host", HOST.encode())
    assert guarded_page.get("/api/count", headers=[host, token]).status_code == 200
    assert guarded_page.get("/api/count", headers=[host, host, token]).status_code == 403
    assert guarded_page.get("/api/count", headers=[host, token, token]).status_code == 401


@pytest.mark.parametrize("address", ["/", "/call/0", "/app.js", "/api/count", "/api/nothing", "/../secret", "//x"])
def test_each_response_has_the_headers_of_security(guarded_page: TestClient, address: str) -> None:
    for headers in {}, {"authorization": f"Bearer {TOKEN}"}, {"host": "evil.example"}:
        found = guarded_page.get(address, headers=headers).headers
        policy = found["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "unsafe" not in policy
        assert "require-trusted-types-for 'script'" in policy
        assert found["x-content-type-options"] == "nosniff"
        assert found["referrer-policy"] == "no-referrer"
        assert found["cache-control"] == "no-store"
        assert found["cross-origin-opener-policy"] == found["cross-origin-resource-policy"] == "same-origin"
        assert "set-cookie" not in found
        assert not {name for name in found if name.startswith("access-control")}


@pytest.mark.parametrize(
    "address", ["/../app.py", "/%2e%2e/app.py", "/..%2fapp.py", "/app.py", "/static/app.js", "/.env", "/a%00b.js"]
)
def test_no_file_beside_the_front_end_is_served(guarded_page: TestClient, address: str) -> None:
    found = guarded_page.get(address)
    assert "<title>plsync</title>" in found.text
    assert "def make_app" not in found.text
