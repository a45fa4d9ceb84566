"""HTTP requests to one server, with bounded responses: no retries, no redirects, no cookies."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import httpcore
import httpx

from plsync.promptlayer import upload
from plsync.promptlayer.certificates import authorities
from plsync.promptlayer.exchange import Exchange
from plsync.promptlayer.outcomes import UnreadableResponse
from plsync.promptlayer.proxies import make_pool
from plsync.promptlayer.server_url import ServerURL
from plsync.promptlayer.sockets import Backend

__all__ = ["Connection", "Response"]

_MAX_CONTENT: Final = 16 << 20
_MAX_HEADERS: Final = 256
_MAX_HEADER_BYTES: Final = 64 << 10
# Seconds. Servers keep idle connections longer. A server that closes one during a request leaves a batch in doubt.
_KEEP_IDLE: Final = 4.0
# Seconds. If a network drops packets silently, only the next attempt shows that it works again.
_CONNECT_TIMEOUT: Final = 10.0
# The `wbits` of zlib for each content coding. A gateway may compress a response in spite of `Accept-Encoding`.
_CODINGS: Final = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


@dataclass(frozen=True)
class Response:
    """A response whose body was read to its end."""

    status: int
    retry_after: str | None
    """The value of the ``Retry-After`` header."""
    content: bytes | None
    """The body; None if its content coding is unknown."""
    coding: str = ""
    """The content coding; empty without one."""
    server: str = ""
    """The value of the ``Server`` header; empty without one."""


class Connection:
    """Connections to one server. Any thread may call; each request in flight has its own connection.

    Args:
        server: the server.
        headers: headers of every request.
        timeout: seconds for each phase of an exchange; 10 at most for each step of connecting.
        proxy: the proxy to connect through.

    Raises:
        OSError: the certificates of the environment cannot be read.
    """

    def __init__(
        self, server: ServerURL, headers: Mapping[bytes | str, bytes | str], timeout: float, proxy: httpx.Proxy | None
    ) -> None:
        self._server = server
        self._headers: dict[bytes | str, bytes | str] = {
            "Host": server.url.netloc.decode("ascii"),
            "Accept-Encoding": "identity",
            **headers,
        }
        if server.url.userinfo:
            user, _, password = server.url.userinfo.decode("ascii").partition(":")
            token = base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode())
            self._headers["Authorization"] = f"Basic {token.decode('ascii')}"
        self._timeout = timeout
        self._pool = make_pool(
            proxy,
            # The environment's certificate authorities (SSL_CERT_FILE, SSL_CERT_DIR) hold for every server.
            authorities(),
            max_connections=None,
            max_keepalive_connections=20,
            keepalive_expiry=_KEEP_IDLE,
            network_backend=Backend(),
        )

    def set_header(self, name: str, value: str) -> None:
        """Change a header of later requests."""
        self._headers = {**self._headers, name: value}

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()

    def request(self, exchange: Exchange, method: str, path: str, body: Sequence[bytes] | None) -> Response:
        """Send one request and read its response.

        Args:
            exchange: its limits.
            method: the HTTP method.
            path: the path and the query below the server's URL, percent-encoded.
            body: the parts of the JSON, or None.

        Raises:
            httpcore.NetworkError: and the other errors of httpcore.
            UnreadableResponse: the response is beyond a limit.
        """
        content, headers = None, dict(self._headers)
        if body is not None:
            content = upload.body_chunks(body)
            headers |= {"Content-Type": "application/json", "Content-Length": str(sum(map(len, body)))}
        connect = min(self._timeout, _CONNECT_TIMEOUT)
        timeouts = {"connect": connect, "read": self._timeout, "write": self._timeout, "pool": None}
        url = httpcore.URL(
            scheme=self._server.url.raw_scheme,
            host=self._server.url.raw_host,
            port=self._server.url.port,
            target=self._server.path + path.encode("ascii"),
        )
        extensions: dict[str, Any] = {"timeout": timeouts, "trace": exchange.trace}
        with (
            exchange,
            self._pool.stream(method, url, headers=headers, content=content, extensions=extensions) as response,
        ):
            fields = _fields(response.headers)
            coding = fields.get("content-encoding", "").strip().lower()
            coding = "" if coding == "identity" else coding
            known = not coding or coding in _CODINGS
            read = _read(response.iter_stream(), coding) if known else None
            return Response(response.status, fields.get("retry-after"), read, coding, fields.get("server", ""))


def _fields(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    pairs = list(headers)
    if len(pairs) > _MAX_HEADERS or sum(len(name) + len(value) for name, value in pairs) > _MAX_HEADER_BYTES:
        raise UnreadableResponse(f"the response has more than {_MAX_HEADERS} headers, or too long ones")
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in pairs}


def _read(chunks: Iterable[bytes], coding: str) -> bytes:
    content = bytearray()
    decoder = zlib.decompressobj(_CODINGS[coding]) if coding else None
    for chunk in chunks:
        try:
            content += decoder.decompress(chunk, _MAX_CONTENT + 1 - len(content)) if decoder else chunk
        except zlib.error as error:
            raise UnreadableResponse(f"the response is not {coding}") from error
        if len(content) > _MAX_CONTENT:
            raise UnreadableResponse(f"the response is longer than {_MAX_CONTENT:,} bytes")
    if decoder and content and not decoder.eof:
        raise UnreadableResponse("the compressed response is cut short")
    return bytes(content)
