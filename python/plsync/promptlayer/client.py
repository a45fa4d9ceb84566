"""The client of PromptLayer's HTTP API: one method per kind of request.

plsync does not use PromptLayer's SDK: its session repeats a POST whose response is lost, which stores a log twice.
"""

from __future__ import annotations

import ipaddress
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

import httpx
import orjson

from plsync.errors import AuthenticationError, SyncError
from plsync.promptlayer import responses, upload
from plsync.promptlayer.outcomes import Outcome, Unauthorized, Unreachable, UnreadableResponse, outcome_of_error
from plsync.promptlayer.settings import DEFAULT_BASE_URL, KEY_VARIABLE, api_key, base_url

if TYPE_CHECKING:
    from typing_extensions import Self

    from plsync.journal.followups import Op

__all__ = ["DEFAULT_BASE_URL", "PromptLayerClient", "halt_error"]

_MAX_RESPONSE: Final = 16 << 20
_PAGE_SIZE: Final = 100
# Seconds. Servers keep idle connections longer. A server that closes one during a request leaves a batch in doubt.
_KEEP_IDLE: Final = 4.0
# Seconds. If a network drops packets silently, only the next attempt shows that it works again.
_CONNECT_TIMEOUT: Final = 10.0
_MAX_SEARCHED: Final = 25


class PromptLayerClient:
    """A connection to PromptLayer. Each call is one HTTP request: no retries, no redirects, bounded in time and size.

    Any thread may call. Each request in flight has its own connection.

    Args:
        api_key: PromptLayer's key, used for the header ``X-API-KEY`` only.
        base_url: PromptLayer's URL.
        timeout: seconds for each wait for bytes, and for the whole response; 10 at most to connect. The upload of a
            body may take longer.

    Raises:
        AuthenticationError: the key is empty, or has characters that no key has.
        SyncError: the URL is not an HTTP URL, or the environment's proxy or certificates cannot be used.
    """

    def __init__(self, api_key: str, base_url: str = DEFAULT_BASE_URL, *, timeout: float = 30.0) -> None:
        key = api_key.strip()
        if not key or not key.isascii() or not key.isprintable():
            raise AuthenticationError(
                "the PromptLayer API key is empty or holds characters no key has; nothing was sent: "
                "set PROMPTLAYER_API_KEY again"
            )
        url = _url(base_url)
        if url.scheme not in {"http", "https"} or not url.host:
            raise SyncError(
                f"PROMPTLAYER_BASE_URL is {_without_password(base_url)!r}, which is not an http or https "
                "URL; nothing was sent: correct it"
            )
        self._key = key
        self._base_url = str(url)
        self.address = str(url.copy_with(userinfo=b""))
        """The URL without a user name and password: reasons with it are stored and printed."""
        self._timeout = timeout
        try:
            self._http = httpx.Client(
                headers={"X-API-KEY": key, "User-Agent": "plsync", "Accept": "application/json"},
                timeout=httpx.Timeout(timeout, connect=min(timeout, _CONNECT_TIMEOUT)),
                limits=httpx.Limits(max_connections=None, keepalive_expiry=_KEEP_IDLE),
                follow_redirects=False,
                # The environment's certificate authorities (SSL_CERT_FILE, SSL_CERT_DIR) hold for every server. Its
                # proxy is for other machines only.
                verify=httpx.create_ssl_context(),
                trust_env=not _is_loopback(url.host),
            )
        except (httpx.InvalidURL, ImportError, ValueError, OSError) as error:
            raise SyncError(
                f"no connection can be made with the network settings of this environment ({_reason(error)}); nothing "
                "was sent: correct HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE or SSL_CERT_DIR"
            ) from error

    @classmethod
    def from_environment(cls, timeout: float = 30.0) -> Self:
        """A client with the settings of ``PROMPTLAYER_API_KEY`` and ``PROMPTLAYER_BASE_URL``.

        Raises:
            AuthenticationError: ``PROMPTLAYER_API_KEY`` is unset, or cannot be a key.
            SyncError: ``PROMPTLAYER_BASE_URL`` is not an HTTP URL, or the environment's proxy cannot be used.
        """
        key = api_key()
        if key is None:
            raise AuthenticationError(
                f"{KEY_VARIABLE} is not set; nothing was sent, everything is safe in the journal: "
                f"export {KEY_VARIABLE}=pl_... and run this again"
            )
        return cls(key, base_url(), timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def send(self, spans: Sequence[dict[str, Any] | orjson.Fragment]) -> Outcome:
        """``POST /spans-bulk``: store a batch of spans, whole or not at all, and close each trace.

        Args:
            spans: the ``Span`` objects of PromptLayer's OpenAPI file, as dicts or as encoded JSON.
        """
        body = orjson.dumps({"spans": spans, "close_after": True})
        return self._request("POST", "/spans-bulk", body, responses.parse_delivery)

    def look_up(self, trace_id: str) -> Outcome:
        """``GET /api/public/v2/traces/{trace_id}``: the request ids of a trace's spans.

        Args:
            trace_id: 32 hexadecimal digits.
        """
        return self._request("GET", f"/api/public/v2/traces/{quote(trace_id, safe='')}", None, responses.parse_trace)

    def track(self, op: Op, body: Mapping[str, Any]) -> Outcome:
        """``POST /rest/track-score``, ``-metadata``, ``-prompt`` or ``-group``: attach a follow-up to a request."""
        return self._request("POST", f"/rest/track-{op}", orjson.dumps(body), responses.parse_tracking)

    def search(self, record_ids: Sequence[str]) -> Outcome:
        """``POST /api/public/v2/requests/search``: the request ids of records, by the ``plsync_id`` in their metadata.

        PromptLayer allows 10 searches per minute, and its index lags behind.

        Args:
            record_ids: up to 25 record ids.
        """
        filters = [{"field": "metadata", "operator": "in", "nested_key": "plsync_id", "value": list(record_ids)}]
        query = {"filter_group": {"logic": "AND", "filters": filters}, "per_page": _MAX_SEARCHED}
        return self._request("POST", "/api/public/v2/requests/search", orjson.dumps(query), responses.parse_search)

    def probe(self) -> Outcome:
        """Look up a trace that does not exist: ``Missing`` means that PromptLayer is reachable and accepts the key."""
        return self.look_up("0" * 32)

    def template(self, name: str, *, version: int | None = None, label: str | None = None) -> Outcome:
        """``GET /prompt-templates/{name}``: a template with its snippets filled in.

        Args:
            name: the template's name.
            version: a version number; None for the latest or for the one with the label.
            label: a release label.
        """
        parameters = {"version": version, "label": label}
        return self._request(
            "GET", f"/prompt-templates/{_segment(name)}{_query(parameters)}", None, responses.parse_template
        )

    def labels(self, name: str) -> Outcome:
        """``GET /prompt-templates/{name}/labels``: the release labels of a template, with their versions."""
        return self._request(
            "GET", f"/prompt-templates/{_segment(name)}/labels", None, responses.list_parser("release_labels")
        )

    def templates(self, page: int, *, label: str | None = None, updated_after: str | None = None) -> Outcome:
        """``GET /prompt-templates``: a page of the list of templates.

        Args:
            page: the number of the page, from 1.
            label: only templates with this release label.
            updated_after: only templates that changed since this time (ISO 8601).
        """
        parameters = {"page": page, "per_page": _PAGE_SIZE, "label": label, "updated_after": updated_after}
        return self._request("GET", f"/prompt-templates{_query(parameters)}", None, responses.list_parser("items"))

    def _request(self, method: str, path: str, body: bytes | None, parse: responses.Parser) -> Outcome:
        outcome = self._exchange(method, path, body, parse)
        # Reasons are stored and printed, and a server may repeat the key in its response.
        if self._key in outcome.reason:
            return replace(outcome, reason=outcome.reason.replace(self._key, "[the key]"))
        return outcome

    def _exchange(self, method: str, path: str, body: bytes | None, parse: responses.Parser) -> Outcome:
        content, headers = None, {}
        if body is not None:
            content = upload.body_chunks(body)
            headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        url, extensions = self._base_url + path, upload.EXTENSIONS
        try:
            with self._http.stream(method, url, content=content, headers=headers, extensions=extensions) as response:
                status, retry_after = response.status_code, response.headers.get("Retry-After")
                parsed = responses.parse_json(self._read(response))
            outcome = None if parsed is None else parse(status, parsed)
            return responses.failure(status, retry_after, parsed) if outcome is None else outcome
        except Exception as error:  # a captive portal's response may raise anything, and must not end the run
            failure = outcome_of_error(error)
            problem = "no connection to" if failure is Unreachable else "no clear response from"
            return failure(f"{problem} {self.address}: {_cause(error)}")

    def _read(self, response: httpx.Response) -> bytes:
        deadline = time.monotonic() + self._timeout
        content = bytearray()
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > _MAX_RESPONSE:
                raise UnreadableResponse(f"the response is longer than {_MAX_RESPONSE:,} bytes")
            if time.monotonic() > deadline:
                raise UnreadableResponse("the response takes too long")
        return bytes(content)


def halt_error(outcome: Outcome, address: str) -> SyncError:
    """The error to raise for an outcome with which a person has to change a setting.

    Args:
        outcome: ``Unauthorized`` or ``Misdirected``.
        address: the client's ``address``.
    """
    if isinstance(outcome, Unauthorized):
        return AuthenticationError(
            f"{address} refused the API key ({outcome.reason}); everything is safe in the journal: "
            "set PROMPTLAYER_API_KEY to a valid key and run this again"
        )
    return SyncError(
        f"{address} does not respond as PromptLayer does ({outcome.reason}); everything is safe in the journal: "
        "check PROMPTLAYER_BASE_URL and run this again"
    )


def _url(base_url: str) -> httpx.URL:
    """The parsed URL; an empty one for a text that names no server."""
    try:
        url = httpx.URL(base_url.strip().rstrip("/"))
        # Each connection encodes the name like this. `api..promptlayer.com` should fail here and not during a run.
        url.host.encode("idna")
    except (httpx.InvalidURL, UnicodeError):
        return httpx.URL("")
    return url


def _without_password(base_url: str) -> str:
    """A text that should have been a URL, without a user name and password."""
    return re.sub(r"(?<=//)[^/]*@", "", base_url)


def _segment(name: str) -> str:
    """A name as one segment of a path, also one with slashes or dots."""
    quoted = quote(name, safe="")
    return quoted.replace(".", "%2E") if quoted in {".", ".."} else quoted


def _query(parameters: Mapping[str, object]) -> str:
    present = {name: value for name, value in parameters.items() if value is not None}
    return f"?{urlencode(present)}" if present else ""


def _cause(error: Exception) -> str:
    """The reason of an error, with the remedy if plsync knows one."""
    reason = _reason(error)
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return f"{reason}; behind a proxy that inspects TLS, set SSL_CERT_FILE to its certificate authority"
    return reason


def _reason(error: Exception) -> str:
    return responses.one_line(error) or type(error).__name__


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
