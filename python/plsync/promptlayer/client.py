"""The one place that talks to PromptLayer: a few requests; what their answers mean is read elsewhere.

Not through the SDK: its session sends a POST again when the reply is lost, which stores a log twice.
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
from plsync.promptlayer.answers import Unreadable, of_failure
from plsync.promptlayer.outcomes import Offline, Outcome, Unauthorized
from plsync.promptlayer.settings import DEFAULT_BASE_URL, KEY_VARIABLE, api_key, base_url

if TYPE_CHECKING:
    from typing_extensions import Self

    from plsync.journal.followups import Op

__all__ = ["DEFAULT_BASE_URL", "PromptLayerClient", "refusal"]

_MAX_ANSWER: Final = 16 << 20
_PAGE: Final = 100
# Shorter than servers keep an idle connection: one that they close just as it is used again leaves a batch in doubt.
_KEEP_IDLE: Final = 4.0
# A network that drops packets in silence is noticed to be back when the next attempt begins.
_CONNECTING: Final = 10.0
_MOST_SEARCHED: Final = 25


class PromptLayerClient:
    """A connection to PromptLayer. Each call is one HTTP request: no retries, no redirects, bounded in time and size.

    Calls may come from several threads at once; each that is at work has a connection of its own.

    Args:
        api_key: PromptLayer's key; used for the header and nothing else.
        base_url: where PromptLayer is.
        timeout: seconds for each wait for bytes, and for the whole answer; 10 at most for connecting. A body takes
            what its link needs for it.

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
        url = _url(base_url)
        if url.scheme not in {"http", "https"} or not url.host:
            raise SyncError(
                f"PROMPTLAYER_BASE_URL is {_shown(base_url)!r}, which is no http or https URL; nothing was sent: "
                "correct it"
            )
        self._key = key
        self._base_url = str(url)
        # Reasons are kept with records, and told: a proxy's password in the URL must not be.
        self.where = str(url.copy_with(userinfo=b""))
        self._timeout = timeout
        try:
            self._http = httpx.Client(
                headers={"X-API-KEY": key, "User-Agent": "plsync", "Accept": "application/json"},
                timeout=httpx.Timeout(timeout, connect=min(timeout, _CONNECTING)),
                limits=httpx.Limits(max_connections=None, keepalive_expiry=_KEEP_IDLE),
                follow_redirects=False,
                # A proxy of the environment is for the way out; nothing on this machine is reached through one. Its
                # certificate authorities (SSL_CERT_FILE, SSL_CERT_DIR) hold everywhere.
                verify=httpx.create_ssl_context(),
                trust_env=not _is_loopback(url.host),
            )
        except (httpx.InvalidURL, ImportError, ValueError, OSError) as error:
            raise SyncError(
                f"no connection can be made with the network settings of this environment ({_reason(error)}); nothing "
                "was sent: correct HTTPS_PROXY, ALL_PROXY, SSL_CERT_FILE or SSL_CERT_DIR"
            ) from error

    @classmethod
    def of_environment(cls, timeout: float = 30.0) -> Self:
        """The client that ``PROMPTLAYER_API_KEY`` and ``PROMPTLAYER_BASE_URL`` ask for.

        Raises:
            AuthenticationError: there is no key.
            SyncError: as for the class.
        """
        key = api_key()
        if key is None:
            raise AuthenticationError(
                f"{KEY_VARIABLE} is not set; nothing was sent, everything is safe in the journal: "
                f"export {KEY_VARIABLE}=pl_... and run this again"
            )
        return cls(key, base_url(), timeout=timeout)

    def __enter__(self) -> Self:
        """The client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes its connections."""
        self._http.close()

    def send(self, spans: Sequence[dict[str, Any] | orjson.Fragment]) -> Outcome:
        """``POST /spans-bulk``, each trace closed after it: the batch is stored as a whole or not at all."""
        body = orjson.dumps({"spans": spans, "close_after": True})
        return self._request("POST", "/spans-bulk", body, responses.delivery)

    def look_up(self, trace_id: str) -> Outcome:
        """``GET /api/public/v2/traces/{trace_id}``: whether a trace is stored, and the request ids of its spans."""
        return self._request("GET", f"/api/public/v2/traces/{quote(trace_id, safe='')}", None, responses.trace)

    def track(self, op: Op, body: Mapping[str, Any]) -> Outcome:
        """``POST /rest/track-score``, ``-metadata``, ``-prompt`` or ``-group``: something said of a request."""
        return self._request("POST", f"/rest/track-{op}", orjson.dumps(body), responses.tracked)

    def search(self, record_ids: Sequence[str]) -> Outcome:
        """``POST /api/public/v2/requests/search``: the request ids of up to 25 records, by record id.

        By the ``plsync_id`` in their metadata. PromptLayer allows 10 searches a minute, and its index lags behind.
        """
        filters = [{"field": "metadata", "operator": "in", "nested_key": "plsync_id", "value": list(record_ids)}]
        query = {"filter_group": {"logic": "AND", "filters": filters}, "per_page": _MOST_SEARCHED}
        return self._request("POST", "/api/public/v2/requests/search", orjson.dumps(query), responses.search)

    def probe(self) -> Outcome:
        """Whether PromptLayer is reached and takes the key, at the price of looking up a trace that is not there."""
        return self.look_up("0" * 32)

    def template(self, name: str, *, version: int | None = None, label: str | None = None) -> Outcome:
        """``GET /prompt-templates/{name}``: a template as it was written, its snippets filled in."""
        asked = {"version": version, "label": label}
        return self._request("GET", f"/prompt-templates/{_segment(name)}{_query(asked)}", None, responses.template)

    def labels(self, name: str) -> Outcome:
        """``GET /prompt-templates/{name}/labels``: which versions of it have which release labels."""
        return self._request(
            "GET", f"/prompt-templates/{_segment(name)}/labels", None, responses.listing("release_labels")
        )

    def templates(self, page: int, *, label: str | None = None, updated_after: str | None = None) -> Outcome:
        """``GET /prompt-templates``: a page of all templates; with a label, or changed since (ISO 8601)."""
        asked = {"page": page, "per_page": _PAGE, "label": label, "updated_after": updated_after}
        return self._request("GET", f"/prompt-templates{_query(asked)}", None, responses.listing("items"))

    def _request(self, method: str, path: str, body: bytes | None, read: responses.Reader) -> Outcome:
        outcome = self._asked(method, path, body, read)
        # Reasons are kept and shown, and a server may repeat what it was sent.
        if self._key in outcome.reason:
            return replace(outcome, reason=outcome.reason.replace(self._key, "[the key]"))
        return outcome

    def _asked(self, method: str, path: str, body: bytes | None, read: responses.Reader) -> Outcome:
        content, headers = None, {}
        if body is not None:
            content = upload.pieces(body)
            headers = {"Content-Type": "application/json", "Content-Length": str(len(body))}
        url, traced = self._base_url + path, upload.TRACED
        try:
            with self._http.stream(method, url, content=content, headers=headers, extensions=traced) as response:
                status, retry_after = response.status_code, response.headers.get("Retry-After")
                answer = responses.parsed(self._read(response))
            found = None if answer is None else read(status, answer)
            return responses.failed(status, retry_after, answer) if found is None else found
        except Exception as error:  # whatever an answer does to those who read it: a portal's end no run
            outcome = of_failure(error)
            what = "no connection to" if outcome is Offline else "no clear answer from"
            return outcome(f"{what} {self.where}: {_cause(error)}")

    def _read(self, response: httpx.Response) -> bytes:
        deadline = time.monotonic() + self._timeout
        content = bytearray()
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > _MAX_ANSWER:
                raise Unreadable(f"the answer is longer than {_MAX_ANSWER:,} bytes")
            if time.monotonic() > deadline:
                raise Unreadable("the answer takes too long")
        return bytes(content)


def refusal(outcome: Outcome, where: str) -> SyncError:
    """What to tell whoever has to change something before anything can be sent."""
    if isinstance(outcome, Unauthorized):
        return AuthenticationError(
            f"{where} refused the API key ({outcome.reason}); everything is safe in the journal: "
            "set PROMPTLAYER_API_KEY to a valid key and run this again"
        )
    return SyncError(
        f"{where} does not answer as PromptLayer does ({outcome.reason}); everything is safe in the journal: "
        "check PROMPTLAYER_BASE_URL and run this again"
    )


def _url(base_url: str) -> httpx.URL:
    """The URL, or an empty one where it is none that a connection can be made to."""
    try:
        url = httpx.URL(base_url.strip().rstrip("/"))
        # As it is done for every connection: `api..promptlayer.com` is found out here, and not by a failing run.
        url.host.encode("idna")
    except (httpx.InvalidURL, UnicodeError):
        return httpx.URL("")
    return url


def _shown(base_url: str) -> str:
    """What is no URL, without what may be the password in it."""
    return re.sub(r"(?<=//)[^/]*@", "", base_url)


def _segment(name: str) -> str:
    """A name as one segment of a path, also where it would be a path of its own."""
    quoted = quote(name, safe="")
    return quoted.replace(".", "%2E") if quoted in {".", ".."} else quoted


def _query(asked: Mapping[str, object]) -> str:
    given = {name: value for name, value in asked.items() if value is not None}
    return f"?{urlencode(given)}" if given else ""


def _cause(error: Exception) -> str:
    """Why there is no answer, and what to do where it is known."""
    reason = _reason(error)
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return f"{reason}; behind a proxy that inspects TLS, set SSL_CERT_FILE to its certificate authority"
    return reason


def _reason(error: Exception) -> str:
    return responses.short(error) or type(error).__name__


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
