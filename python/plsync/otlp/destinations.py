"""Where spans go: a collector by OTLP over HTTP, or a file of OTLP JSON lines."""

from __future__ import annotations

import base64
import contextlib
import gzip
import os
import random
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Protocol

import httpx
import orjson

from plsync._common.files import SAFE_FLAGS
from plsync._common.redaction import redact_text
from plsync.errors import ExportError, SyncError
from plsync.otlp import environment
from plsync.promptlayer.proxies import proxy_of_environment
from plsync.promptlayer.server_url import ServerURL

if TYPE_CHECKING:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

__all__ = ["Collector", "Destination", "JsonLines", "TooLarge"]

# The statuses after which OTLP allows another attempt.
_RETRIED: Final = frozenset({429, 502, 503, 504})
# Seconds. The waits double from the first to the longest, 3 minutes in all.
_FIRST_WAIT, _LONGEST_WAIT, _ATTEMPTS = 1.0, 60.0, 9
_SHOWN: Final = 300
_LARGEST: Final = 1 << 20
_BEGIN: Final = b'{"resourceSpans":'


class TooLarge(Exception):
    """The collector refuses a message of this size."""


class Destination(Protocol):
    """A destination of spans."""

    name: str
    """The URL or the path, for messages and for the cursor."""

    def send(self, message: ExportTraceServiceRequest) -> tuple[int, str]:
        """Send spans. Returns the number of spans that were rejected for good, and the reason.

        Raises:
            TooLarge: the destination takes smaller messages only.
            ExportError: the destination cannot be reached, or refused the spans.
        """

    def close(self) -> None:
        """Finish. The spans that were sent are safe after this."""

    def abandon(self) -> None:
        """Undo a part of a message that was not written to its end."""


class Collector:
    """A collector that takes OTLP over HTTP.

    Args:
        url: its URL. Without a path, ``/v1/traces`` is added.

    Raises:
        ExportError: the URL or a variable of the environment is wrong.
    """

    def __init__(self, url: str) -> None:
        try:
            server = ServerURL.parse(url, "--otlp")
            proxy = proxy_of_environment(server.url)
        except SyncError as error:
            raise ExportError(str(error)) from None
        self.name = server.shown if server.path else f"{server.address}/v1/traces"
        self.url = server.url if server.path else server.url.copy_with(path="/v1/traces")
        self._is_compressed = environment.is_compressed()
        headers = {"content-type": "application/x-protobuf", "accept-encoding": "identity"}
        if self._is_compressed:
            headers["content-encoding"] = "gzip"
        self._client = httpx.Client(
            headers={**headers, **environment.headers()},
            timeout=environment.timeout(),
            trust_env=False,
            proxy=proxy,
            verify=environment.tls(),
        )

    def send(self, message: ExportTraceServiceRequest) -> tuple[int, str]:
        """Send spans, with the retries that OTLP allows.

        Raises:
            TooLarge, ExportError: as :meth:`Destination.send`.
        """
        body = message.SerializeToString()
        if self._is_compressed:
            body = gzip.compress(body, 1, mtime=0)
        reason = ""
        for attempt in range(_ATTEMPTS):
            pause = random.uniform(0.5, 1.0) * min(_LONGEST_WAIT, _FIRST_WAIT * 2**attempt)  # noqa: S311 - no secret
            try:
                with self._client.stream("POST", self.url, content=body) as response:
                    content = _content(response)
            except httpx.TransportError as error:
                reason = f"{self.name} cannot be reached ({type(error).__name__}: {error})"
            else:
                if response.is_success:
                    return _rejected(content)
                if response.status_code == 413:
                    raise TooLarge
                reason = f"{self.name} sent {response.status_code}: {_shown(response, content)}"
                if response.status_code not in _RETRIED:
                    raise ExportError(f"{reason}; the spans before are there: correct the cause and export again")
                pause = max(pause, _retry_after(response.headers))
            if attempt + 1 < _ATTEMPTS:
                time.sleep(min(pause, _LONGEST_WAIT))
        raise ExportError(f"{reason}; the spans before are there: export again later")

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def abandon(self) -> None:
        """Close the connection."""
        self._client.close()


def _content(response: httpx.Response) -> bytes:
    """The beginning of a response. A collector has no reason to send more."""
    found = b""
    for chunk in response.iter_raw():
        found += chunk
        if len(found) > _LARGEST:
            break
    return found[:_LARGEST]


def _shown(response: httpx.Response, content: bytes) -> str:
    is_text = not response.headers.get("content-type", "").startswith("application/x-protobuf")
    text = " ".join(content[: 4 * _SHOWN].decode("utf-8", "replace").split())[:_SHOWN] if is_text else ""
    return redact_text(text) or response.reason_phrase


def _rejected(content: bytes) -> tuple[int, str]:
    """The spans that a collector rejected in a success. OTLP forbids to send them again."""
    from google.protobuf.message import DecodeError  # noqa: PLC0415 - an extra
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415
        ExportTraceServiceResponse,
    )

    try:
        partial = ExportTraceServiceResponse.FromString(content).partial_success
    except DecodeError:  # a backend that responds with a text
        return 0, ""
    return int(partial.rejected_spans), " ".join(str(partial.error_message).split())[:_SHOWN]


def _retry_after(headers: Mapping[str, str]) -> float:
    value = headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value[:6])
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except (TypeError, ValueError):
        return 0.0


class JsonLines:
    """A file of OTLP JSON lines. Each line is a message; a line is in the file as a whole, or not at all.

    Args:
        path: the file.
        append: add to a file that exists.

    Raises:
        ExportError: the file exists and ``append`` is false, or it cannot be opened.
    """

    def __init__(self, path: Path, *, append: bool) -> None:
        self.name = str(path)
        flags = os.O_RDWR | os.O_CREAT | SAFE_FLAGS | (0 if append else os.O_EXCL)
        try:
            self._file = os.fdopen(os.open(path, flags, 0o600), "r+b")
        except FileExistsError:
            raise ExportError(
                f"{path} exists and was not changed: choose another file, or add to it with --append or --since-last"
            ) from None
        except OSError as error:
            raise ExportError(f"{path} cannot be written ({error.strerror}); nothing was exported") from error
        self._is_new = not append
        self._path = path
        found = _end_of_lines(self._file)
        if found is None:
            self._file.close()
            raise ExportError(f"{path} is no file of OTLP JSON lines, and was not changed: choose another file")
        self._end = found
        self._file.truncate(self._end)
        self._file.seek(self._end)

    def send(self, message: ExportTraceServiceRequest) -> tuple[int, str]:
        """Write a line.

        Raises:
            ExportError: the disk is full or fails. The file has the lines before.
        """
        line = orjson.dumps(_as_json(message)) + b"\n"
        try:
            self._file.write(line)
            self._file.flush()
        except OSError as error:
            self.abandon()
            raise ExportError(
                f"{self.name} cannot be written ({error.strerror}); it has whole lines: free space and export again"
            ) from error
        self._end += len(line)
        return 0, ""

    def close(self) -> None:
        """Bring the lines safely to disk."""
        os.fsync(self._file.fileno())
        self._file.close()

    def abandon(self) -> None:
        """Cut off a line that was not written to its end, and remove a new file without a line."""
        with contextlib.suppress(OSError, ValueError):
            os.ftruncate(self._file.fileno(), self._end)
            os.fsync(self._file.fileno())
        # The buffer may hold a part of the line.
        with contextlib.suppress(OSError):
            self._file.close()
        with contextlib.suppress(OSError):
            os.truncate(self._path, self._end)
        if self._is_new and not self._end:
            with contextlib.suppress(OSError):
                self._path.unlink()


def _end_of_lines(file: BinaryIO) -> int | None:
    """The length of a file up to its last whole line, since a crash may have cut the last one.

    None if the first or the last line is no line of an export.
    """
    file.seek(0)
    if not _begins_line(file.read(len(_BEGIN))):
        return None
    size = end = file.seek(0, os.SEEK_END)
    while end:
        begin = max(0, end - (1 << 16))
        file.seek(begin)
        at = file.read(end - begin).rfind(b"\n")
        if at >= 0 or not begin:
            end = begin + at + 1
            break
        end = begin
    file.seek(end)
    return end if _begins_line(file.read(min(len(_BEGIN), size - end))) else None


def _begins_line(text: bytes) -> bool:
    return _BEGIN.startswith(text)


def _as_json(message: ExportTraceServiceRequest) -> dict[str, Any]:
    """OTLP's JSON: as protobuf's, with ids as hex digits and enums as numbers."""
    from google.protobuf.json_format import MessageToDict  # noqa: PLC0415 - an extra

    made: dict[str, Any] = MessageToDict(message, use_integers_for_enums=True)
    for resource in made.get("resourceSpans", ()):
        for scope in resource.get("scopeSpans", ()):
            for one in scope.get("spans", ()):
                for key in ("traceId", "spanId", "parentSpanId"):
                    if key in one:
                        one[key] = base64.b64decode(one[key]).hex()
    return made
