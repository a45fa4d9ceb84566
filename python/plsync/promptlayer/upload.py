"""How a body goes out: however long a link takes for it, silence is what is waited for in vain, and not its bytes."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

__all__ = ["TRACED", "pieces"]

# A write over TLS has one timeout for all it is given, however well it gets on. Larger pieces are for links that took
# the last one within so many seconds.
_PIECE: Final = 16 << 10
_LARGEST_PIECE: Final = 128 << 10
_QUICK: Final = 0.1
# Of what the system has taken and not sent yet. It takes megabytes, which slow links need minutes for, and all the
# while no answer can come.
_MOST_UNSENT: Final = 32 << 10
# Linux and macOS have it.
_LOW_WATER: Final[int | None] = getattr(socket, "TCP_NOTSENT_LOWAT", None)


def pieces(body: bytes) -> Iterator[bytes]:
    """A body in parts, each of which has a timeout of its own."""
    begin, size = 0, _PIECE
    while begin < len(body):
        given_at = time.monotonic()
        yield body[begin : begin + size]
        begin += size
        size = min(size * 2, _LARGEST_PIECE) if time.monotonic() - given_at < _QUICK else _PIECE


def _trace(event: str, info: Mapping[str, Any]) -> None:
    # Connections to proxies are told of under other names, with the same end.
    if event.endswith("connect_tcp.complete") and _LOW_WATER is not None:
        connection = info["return_value"].get_extra_info("socket")
        connection.setsockopt(socket.IPPROTO_TCP, _LOW_WATER, _MOST_UNSENT)


TRACED: Final[Mapping[str, Any]] = {"trace": _trace}
"""Extensions of a request: new connections are told to hold little that is not on its way."""
