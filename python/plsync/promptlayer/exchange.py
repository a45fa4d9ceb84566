"""The limits of one request and its response: seconds for each phase, and bytes received.

The timeouts of an HTTP client are for each wait, so a server that sends a byte at a time holds a request without end.
Here each wait ends at the deadline of its phase:

- the connection: DNS, TCP, a proxy, TLS;
- the upload, whose time grows with the body;
- the response, from its first byte to its last.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

import httpcore

from plsync.promptlayer import upload
from plsync.promptlayer.outcomes import UnreadableResponse

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Exchange", "current_exchange"]

# Seconds, and bytes per second. A slower upload is given up: a server may take one byte at a time.
_LONGEST_UPLOAD: Final = 3600.0
_SLOWEST_UPLOAD: Final = 512
# Bytes on the connection, with headers, interim responses and the framing of chunks.
_MAX_RECEIVED: Final = 48 << 20

_active = threading.local()


class Exchange:
    """One request and its response. The ``with`` block makes it the exchange of this thread.

    Args:
        timeout: seconds to connect, and seconds for the response.
        body_size: bytes of the request's body.
    """

    def __init__(self, timeout: float, body_size: int) -> None:
        self.sent = False
        """Whether the request may have reached PromptLayer. A proxy's ``CONNECT`` is no such request."""
        self._timeout = timeout
        self._upload = timeout + min(_LONGEST_UPLOAD, body_size / _SLOWEST_UPLOAD)
        self._received = 0
        self._begin(timeout, httpcore.ConnectTimeout, "connecting")

    def __enter__(self) -> Self:
        _active.exchange = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _active.exchange = None

    def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Begin the next phase. httpcore calls this method with its events."""
        if event.endswith("connect_tcp.complete"):
            upload.limit_send_buffer(info["return_value"])
        elif event.endswith("send_request_headers.started") and info["request"].method != b"CONNECT":
            self.sent = True
            self._begin(self._upload, httpcore.WriteTimeout, "the upload")
        elif event.endswith("receive_response_headers.started") and info["request"].method != b"CONNECT":
            self._begin(self._timeout, httpcore.ReadTimeout, "the response")

    def seconds(self, limit: float | None) -> float:
        """The seconds that the next wait may take.

        Args:
            limit: the most that it may take; None for the rest of the phase.

        Raises:
            httpcore.TimeoutException: the time of the phase is over.
        """
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise self._timed_out()
        return left if limit is None else min(left, limit)

    @contextmanager
    def errors(self, failure: type[Exception]) -> Iterator[None]:
        """Raise httpcore's errors in place of a socket's.

        Args:
            failure: the class for any error but a timeout. While the client connects it is ``ConnectError``.
        """
        try:
            yield
        except TimeoutError as error:
            raise self._timed_out() from error
        except OSError as error:
            raise (failure if self.sent else httpcore.ConnectError)(str(error)) from error

    def count(self, received: int) -> None:
        """Add received bytes.

        Raises:
            UnreadableResponse: the connection has sent too many.
        """
        self._received += received
        if self._received > _MAX_RECEIVED:
            raise UnreadableResponse(f"the server sends more than {_MAX_RECEIVED:,} bytes")

    def _begin(self, seconds: float, error: type[Exception], phase: str) -> None:
        self._deadline = time.monotonic() + seconds
        self._error, self._phase = error, phase

    def _timed_out(self) -> Exception:
        return self._error(f"{self._phase} takes too long: timed out")


def current_exchange() -> Exchange:
    """The exchange of this thread."""
    exchange: Exchange = _active.exchange
    return exchange
