"""Every response ends within the timeout, and takes a bounded amount of memory, however the server behaves."""

from __future__ import annotations

import contextlib
import gzip
import socket
import ssl
import threading
import time
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme
import zstandard

from plsync.promptlayer.client import PromptLayerClient
from plsync.promptlayer.outcomes import Ambiguous, Delivered, Missing, Outcome, Refused, Unauthorized, Unreachable
from plsync.testing import PromptLayerServer
from tests.support.hostile_responses import BODIES
from tests.support.raw_server import Behaviour, Line, RawServer, responding

TIMEOUT = 0.6
# A busy machine delays the threads of a test.
LATE = TIMEOUT + 2.0
STORED = b'{"success": true, "request_logs": []}'
MB = 1 << 20


def sending(*beginning: bytes, then: bytes = b"") -> Behaviour:
    """Send some bytes, and then the bytes of ``then`` one at a time, again and again."""

    def behave(line: Line) -> None:
        line.read_request()
        for piece in beginning:
            line.socket.sendall(piece)
        while then:
            for byte in then:
                line.socket.sendall(bytes([byte]))
                threading.Event().wait(0.01)

    return behave


def outcome_of(url: str, key: str = "pl_key", timeout: float = 10.0) -> Outcome:
    with PromptLayerClient(key, url, timeout=timeout) as client:
        return client.send([])


def timed(url: str) -> Outcome:
    begun = time.monotonic()
    outcome = outcome_of(url, timeout=TIMEOUT)
    assert time.monotonic() - begun < LATE
    assert "timed out" in outcome.reason
    return outcome


@pytest.mark.parametrize(
    "behaviour",
    [
        sending(then=b"HTTP/1.1 201 Created and a long phrase" * 9),
        sending(b"HTTP/1.1 201 Created\r\n", then=b"X-Header: 1\r\n"),
        sending(then=b"HTTP/1.1 100 Continue\r\n\r\n"),
        sending(b"HTTP/1.1 201 Created\r\nContent-Length: 100000\r\n\r\n", then=b" "),
        sending(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n", then=b"1\r\n \r\n"),
        sending(b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", then=b"A: 1\r\n"),
        sending(b"HTTP/1.1 201 Created\r\n\r\n", then=b" "),
    ],
    ids=["status", "headers", "interim", "body", "chunks", "trailers", "no length"],
)
def test_a_response_that_drips_ends_at_the_timeout(behaviour: Behaviour) -> None:
    with RawServer(behaviour) as server:
        assert isinstance(timed(server.url), Ambiguous)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server that accepts connections, and reads nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


def dripping_below_http(listener: socket.socket, drip: bytes, stopping: threading.Event) -> None:
    with contextlib.suppress(OSError):
        connection, _ = listener.accept()
        with connection:
            while not stopping.wait(0.05):
                connection.sendall(drip)


@pytest.mark.parametrize("drip", [b"", b"\x16"], ids=["silent", "dripping"])
def test_a_tls_handshake_ends_at_the_timeout(listener: socket.socket, drip: bytes) -> None:
    stopping = threading.Event()
    serving = threading.Thread(target=dripping_below_http, args=(listener, drip, stopping))
    serving.start()
    try:
        begun = time.monotonic()
        outcome = outcome_of(f"https://127.0.0.1:{listener.getsockname()[1]}", timeout=TIMEOUT)
        assert time.monotonic() - begun < LATE
    finally:
        stopping.set()
        serving.join()
    assert isinstance(outcome, Unreachable)


def test_a_proxy_that_drips_its_response_to_connect_makes_promptlayer_unreachable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with RawServer(sending(b"HTTP/1.1 200 OK\r\n", then=b"A: 1\r\n")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert isinstance(timed("https://promptlayer.invalid"), Unreachable)


def test_a_name_that_dns_does_not_resolve_ends_at_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()

    def look_up(*_: object, **__: object) -> list[object]:
        released.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    try:
        assert isinstance(timed("https://promptlayer.invalid"), Unreachable)
    finally:
        released.set()


def test_a_server_that_stops_reading_ends_the_upload_at_the_timeout() -> None:
    def behave(line: Line) -> None:
        threading.Event().wait(2 * TIMEOUT)
        line.hang_up()

    with RawServer(behave) as server:
        begun = time.monotonic()
        with PromptLayerClient("pl_key", server.url, timeout=TIMEOUT) as client:
            assert isinstance(client.send([{"text": "x" * 32 * MB}]), Ambiguous)
        assert time.monotonic() - begun < LATE + TIMEOUT


def compressed(coding: str, content: bytes) -> Behaviour:
    return responding("201 Created", content, headers=f"Content-Encoding: {coding}\r\n")


@pytest.mark.parametrize(
    ("coding", "compress"), [("gzip", gzip.compress), ("X-GZIP", gzip.compress), ("deflate", zlib.compress)]
)
def test_a_gateway_that_compresses_in_spite_of_the_request_is_understood(
    coding: str, compress: Callable[[bytes], bytes]
) -> None:
    with RawServer(compressed(coding, compress(STORED))) as server:
        assert outcome_of(server.url) == Delivered({})


@pytest.mark.parametrize(
    "content", [b"no gzip", gzip.compress(STORED)[:-12], b"\x1f\x8b"], ids=["other", "cut", "a beginning"]
)
def test_a_compressed_response_that_is_broken_is_ambiguous(content: bytes) -> None:
    with RawServer(compressed("gzip", content)) as server:
        assert isinstance(outcome_of(server.url), Ambiguous)


@pytest.mark.parametrize("coding", ["zstd", "br", "gzip, gzip", "identity, gzip", "compress", "\x1b[31m"])
def test_an_unknown_content_coding_is_refused_and_named(coding: str) -> None:
    with RawServer(compressed(coding, zstandard.compress(STORED))) as server:
        outcome = outcome_of(server.url)
    assert isinstance(outcome, Ambiguous)
    assert "content coding" in outcome.reason
    assert outcome.reason.isprintable()


@pytest.mark.parametrize(("status", "expected"), [("401 No", Unauthorized), ("422 No", Refused)])
def test_the_status_counts_if_the_content_coding_is_unknown(status: str, expected: type[Outcome]) -> None:
    with RawServer(responding(status, b"?", headers="Content-Encoding: br\r\n")) as server:
        assert isinstance(outcome_of(server.url), expected)


def zeros_in_gzip(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(bytes(MB)) for _ in range(size // MB)), packer.flush()])


def test_a_small_compressed_response_does_not_grow_beyond_the_limit() -> None:
    bomb = zeros_in_gzip(400 * MB)
    with RawServer(compressed("gzip", bomb)) as server:
        tracemalloc.start()
        try:
            outcome = outcome_of(server.url)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert "longer than 16,777,216 bytes" in outcome.reason
    assert peak < 100 * MB


@pytest.mark.parametrize(
    "headers",
    ["A: 1\r\n" * 1000, f"A: {'x' * (90 << 10)}\r\n", f"A: {'x' * (1 << 20)}\r\n", "Set-Cookie: a=b\r\n" * 9000],
    ids=["many", "long", "very long", "cookies"],
)
def test_headers_beyond_the_limits_are_ambiguous(headers: str) -> None:
    with RawServer(responding("201 Created", STORED, headers=headers)) as server:
        assert isinstance(outcome_of(server.url), Ambiguous)


def test_cookies_are_not_sent_back() -> None:
    received: list[bytes] = []

    def behave(line: Line) -> None:
        for _ in range(2):
            received.append(line.socket.recv(65536))
            size = f"Content-Length: {len(STORED)}\r\n"
            line.socket.sendall(f"HTTP/1.1 201 Created\r\nSet-Cookie: a=b\r\n{size}\r\n".encode() + STORED)

    with RawServer(behave) as server, PromptLayerClient("pl_key", server.url) as client:
        assert client.send([]) == client.send([]) == Delivered({})
    assert len(received) == 2
    assert b"ookie" not in b"".join(received)


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("status", [201, 404, 422, 500])
def test_a_body_of_any_form_has_an_outcome_in_little_time(status: int, body: bytes) -> None:
    with PromptLayerServer() as server, PromptLayerClient(server.api_key, server.url, timeout=10) as client:
        server.fail(status, body=body, times=5)
        begun = time.monotonic()
        for outcome in (
            client.send([]),
            client.look_up("f" * 32),
            client.search(["r"]),
            client.track("score", {}),
            client.template("a"),
        ):
            assert "Error" not in outcome.reason
            assert len(outcome.reason) <= 300
        assert time.monotonic() - begun < 5


def test_a_byte_order_mark_is_skipped() -> None:
    with RawServer(responding("201 Created", b"\xef\xbb\xbf" + STORED)) as server:
        assert outcome_of(server.url) == Delivered({})


def tunnel(target: str) -> Behaviour:
    """A proxy's response to ``CONNECT``, and the way to the target."""
    host, _, port = target.rpartition("//")[2].rpartition(":")

    def copy(source: socket.socket, to: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError):
            while piece := source.recv(65536):
                to.sendall(piece)
            to.shutdown(socket.SHUT_WR)

    def behave(line: Line) -> None:
        line.read_request()
        line.socket.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with socket.create_connection((host, int(port))) as server:
            back = threading.Thread(target=copy, args=(server, line.socket), daemon=True)
            back.start()
            copy(line.socket, server)
            back.join(5)

    return behave


def serving(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "authority.pem"))
    monkeypatch.delenv("NO_PROXY", raising=False)
    return authority


@pytest.mark.parametrize("secure_proxy", [False, True], ids=["http proxy", "https proxy"])
def test_a_request_passes_through_the_tunnel_of_a_proxy(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, secure_proxy: bool
) -> None:
    stored = responding("404 Not Found", b'{"success": false, "message": "no such trace"}')
    with (
        RawServer(stored, tls=serving(authority, "promptlayer.invalid")) as server,
        RawServer(tunnel(server.url), tls=serving(authority, "127.0.0.1") if secure_proxy else None) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        with PromptLayerClient("pl_key", "https://promptlayer.invalid", timeout=10) as client:
            for _ in range(2):
                assert client.look_up("f" * 32) == Missing("no such trace")
        assert server.requests == 2


def test_a_server_that_drips_inside_two_layers_of_tls_ends_at_the_timeout(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    drip = sending(b"HTTP/1.1 200 OK\r\n", then=b"A: 1\r\n")
    with (
        RawServer(drip, tls=serving(authority, "promptlayer.invalid")) as server,
        RawServer(tunnel(server.url), tls=serving(authority, "127.0.0.1")) as proxy,
    ):
        monkeypatch.setenv("HTTPS_PROXY", proxy.url)
        assert isinstance(timed("https://promptlayer.invalid"), Ambiguous)
