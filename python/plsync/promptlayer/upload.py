"""Uploads a request body with a timeout per chunk, so that a silent link times out and a slow link does not."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from httpcore import NetworkStream

__all__ = ["body_chunks", "limit_send_buffer"]

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


def body_chunks(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Split a body into chunks of 16 to 128 KB, each with its own timeout.

    Args:
        parts: the bytes of the body, in any number of parts. Large ones are not copied as a whole.
    """
    size, pending = _CHUNK, bytearray()
    for part in parts:
        begin = 0
        while begin < len(part):
            taken = part[begin : begin + size - len(pending)]
            begin += len(taken)
            pending += taken
            if len(pending) < size:
                break
            yielded_at = time.monotonic()
            yield bytes(pending)
            pending.clear()
            size = min(size * 2, _LARGEST_CHUNK) if time.monotonic() - yielded_at < _QUICK else _CHUNK
    if pending:
        yield bytes(pending)


def limit_send_buffer(stream: NetworkStream) -> None:
    """Limit the bytes in the send buffer of a new connection."""
    if _LOW_WATER is not None:
        stream.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, _LOW_WATER, _MAX_UNSENT)
