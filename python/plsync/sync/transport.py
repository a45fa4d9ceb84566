"""The one place that talks to PromptLayer: two requests, and what their answers mean.

Not through the SDK: its session sends a POST again when the reply is lost, which stores a log twice.
"""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import httpx
import orjson

from plsync.errors import AuthenticationError, SyncError
from plsync.sync.outcomes import (
    Ambiguous,
    Delivered,
    Found,
    Misdirected,
    Missing,
    Offline,
    Outcome,
    Rejected,
    Throttled,
    Unauthorized,
)

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["DEFAULT_BASE_URL", "PromptLayerClient"]

DEFAULT_BASE_URL: Final = "https://api.promptlayer.com"

_MAX_ANSWER: Final = 16 << 20
_MAX_REASON: Final = 300
_LONGEST_RETRY_AFTER: Final = 3600.0

_NOTHING_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)


class _Unreadable(Exception):
    """The answer is too long, or takes too long."""


class PromptLayerClient:
    """A connection to PromptLayer. Each call is one HTTP request: no retries, no redirects, bounded in time and size.

    Args:
        api_key: PromptLayer's key; used for the header and nothing else.
        base_url: where PromptLayer is.
        timeout: seconds for connecting, for each wait for bytes, and for the whole answer.

    Raises:
        AuthenticationError: the key has characters that no key has.
        SyncError: the URL is not one of HTTP, or the environment's proxy or certificates cannot be used.
    """

    def __init__(self, api_key: str, base_url: str = DEFAULT_BASE_URL, *, timeout: float = 30.0) -> None:
        """Prepare; nothing is connected yet."""
        key = api_key.strip()
        if not key or not key.isascii() or not key.isprintable():
            raise AuthenticationError(
                "the PromptLayer API key is empty or holds characters no key has; nothing was sent: "
                "set PROMPTLAYER_API_KEY again"
            )
        try:
            url = httpx.URL(base_url.strip().rstrip("/"))
        except httpx.InvalidURL:
            url = httpx.URL("")
        if url.scheme not in {"http", "https"} or not url.host:
            raise SyncError(
                f"PROMPTLAYER_BASE_URL is {base_url!r}, which is no http or https URL; nothing was sent: correct it"
            )
        self.base_url = str(url)
        # Reasons are kept with records: a proxy's password in the URL must not be.
        self._where = str(url.copy_with(userinfo=b""))
        self._timeout = timeout
        try:
            self._http = httpx.Client(
                headers={"X-API-KEY": key, "User-Agent": "plsync", "Accept": "application/json"},
                timeout=timeout,
                follow_redirects=False,
                # A proxy of the environment is for the way out; nothing on this machine is reached through one.
                trust_env=not _is_loopback(url.host),
            )
        except (httpx.InvalidURL, ImportError, ValueError, OSError) as error:
            raise SyncError(
                f"no connection can be made with the network settings of this environment ({_reason(error)}); nothing "
                "was sent: correct HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE or SSL_CERT_DIR"
            ) from error

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes its connections."""
        self._http.close()

    def send(self, spans: Sequence[dict[str, Any]]) -> Outcome:
        """``POST /spans-bulk``, each trace closed after it: the batch is stored as a whole or not at all."""
        body = orjson.dumps({"spans": spans, "close_after": True})
        return self._request("POST", "/spans-bulk", body, _read_delivery)

    def look_up(self, trace_id: str) -> Outcome:
        """``GET /api/public/v2/traces/{trace_id}``: whether a trace is stored, and the request ids of its spans."""
        return self._request("GET", f"/api/public/v2/traces/{quote(trace_id, safe='')}", None, _read_trace)

    def _request(
        self, method: str, path: str, body: bytes | None, read: Callable[[int, dict[str, Any]], Outcome | None]
    ) -> Outcome:
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            with self._http.stream(method, self.base_url + path, content=body, headers=headers) as response:
                status, retry_after = response.status_code, response.headers.get("Retry-After")
                answer = _parse(self._read(response))
        except _NOTHING_SENT as error:
            return Offline(f"no connection to {self._where}: {_reason(error)}")
        except (httpx.HTTPError, _Unreadable) as error:
            return Ambiguous(f"no clear answer from {self._where}: {_reason(error)}")
        if answer is not None:
            outcome = read(status, answer)
            if outcome is not None:
                return outcome
        return _classify(status, retry_after, _message(answer))

    def _read(self, response: httpx.Response) -> bytes:
        deadline = time.monotonic() + self._timeout
        content = bytearray()
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > _MAX_ANSWER:
                raise _Unreadable(f"the answer is longer than {_MAX_ANSWER:,} bytes")
            if time.monotonic() > deadline:
                raise _Unreadable("the answer takes too long")
        return bytes(content)


def _read_delivery(status: int, answer: dict[str, Any]) -> Outcome | None:
    if status not in {200, 201} or answer.get("success") is not True:
        return None
    ids = _ids(answer.get("request_logs"), "id")
    rejected = answer.get("rejected_span_ids")
    closed = (
        frozenset(span for span in rejected if isinstance(span, str)) if isinstance(rejected, list) else frozenset()
    )
    return Delivered({span: request_id for span, request_id in ids.items() if request_id is not None}, closed)


def _read_trace(status: int, answer: dict[str, Any]) -> Outcome | None:
    if status == 404:
        return Missing(_message(answer))
    if status == 200 and answer.get("success") is True and isinstance(answer.get("spans"), list):
        return Found(_ids(answer["spans"], "request_log_id"))
    return None


def _classify(status: int, retry_after: str | None, message: str) -> Outcome:
    """What a status means that is not the answer asked for."""
    reason = f"{status} {message}".strip()
    if status in {401, 403}:
        return Unauthorized(reason)
    if status in {400, 413, 422}:
        return Rejected(reason)
    if status in {425, 429}:
        return Throttled(reason, _seconds(retry_after))
    # A redirect is a captive portal's answer. Whoever sent it, or a 2xx we can't read, may have taken the request in.
    if status < 400 or status >= 500 or status in {408, 409}:
        return Ambiguous(reason)
    return Misdirected(reason)


def _ids(entries: Any, key: str) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("span_id"), str):
            value = entry.get(key)
            valid = isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 63
            found[entry["span_id"]] = value if valid else None
    return found


def _parse(content: bytes) -> dict[str, Any] | None:
    try:
        parsed = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    return parsed if isinstance(parsed, dict) else None


def _message(answer: dict[str, Any] | None) -> str:
    """PromptLayer's words: ``message`` or ``error``, or the first of a validation's ``detail``."""
    if answer is None:
        return "(an answer that is not PromptLayer's JSON)"
    detail = answer.get("detail")
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        where = ".".join(str(part) for part in detail[0].get("loc") or ())
        return _short(f"{where}: {detail[0].get('msg')}")
    return _short(answer.get("message") or answer.get("error") or detail or "")


def _reason(error: Exception) -> str:
    return _short(error) or type(error).__name__


def _short(value: object) -> str:
    return " ".join(str(value).split())[:_MAX_REASON]


def _seconds(retry_after: str | None) -> float | None:
    """``Retry-After`` in either of its forms (RFC 9110, 10.2.3), within reason."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(retry_after) - datetime.now(timezone.utc)).total_seconds()
        except (ValueError, TypeError):
            return None
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER) if math.isfinite(seconds) else None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
