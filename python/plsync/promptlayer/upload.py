"""Uploads a request body with a timeout per chunk, so that a silent link times out and a slow link does not."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["EXTENSIONS", "body_chunks"]

# One write over TLS has one timeout, however many bytes it has sent. Chunks grow only on links that take one quickly.
_CHUNK: Final = 16 << 10
_LARGEST_CHUNK: Final = 128 << 10
# Seconds.
_QUICK: Final = 0.1
# Bytes in the system's send buffer. By default the system buffers megabytes. A slow link needs minutes to drain them,
# and the wait for the response begins only then.
_MAX_UNSENT: Final = 32 << 10
# Linux and macOS have this option.
_LOW_WATER: Final[int | None] = getattr(socket, "TCP_NOTSENT_LOWAT", None)


def body_chunks(body: bytes) -> Iterator[bytes]:
    """Split a body into chunks of 16 to 128 KB, each with its own timeout."""
    begin, size = 0, _CHUNK
    while begin < len(body):
        yielded_at = time.monotonic()
        yield body[begin : begin + size]
        begin += size
        size = min(size * 2, _LARGEST_CHUNK) if time.monotonic() - yielded_at < _QUICK else _CHUNK


def _limit_send_buffer(event: str, info: Mapping[str, Any]) -> None:
    # The event of a connection to a proxy has another prefix.
    if event.endswith("connect_tcp.complete") and _LOW_WATER is not None:
        connection = info["return_value"].get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, _LOW_WATER, _MAX_UNSENT)


EXTENSIONS: Final[Mapping[str, Any]] = {"trace": _limit_send_buffer}
"""httpx extensions of a request: each new connection limits the bytes in its send buffer."""
