"""The client of PromptLayer's HTTP API: one method per kind of request.

plsync does not use PromptLayer's SDK: its session repeats a POST whose response is lost, which stores a log twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

import orjson

from plsync._common.account import account_id
from plsync._common.redaction import REDACTED, redact_text
from plsync._common.spellings import SecretRedactor
from plsync.config.keys import KeySource, VariableKey
from plsync.errors import AuthenticationError, SyncError, WrongWorkspace
from plsync.promptlayer import responses
from plsync.promptlayer.connection import Connection, Response
from plsync.promptlayer.exchange import Exchange
from plsync.promptlayer.outcomes import Found, OtherWorkspace, Outcome, Unauthorized, Unreachable, outcome_of_error
from plsync.promptlayer.proxies import proxy_of_environment
from plsync.promptlayer.server_url import ServerURL
from plsync.promptlayer.settings import BASE_URL_VARIABLE, DEFAULT_BASE_URL, Settings

if TYPE_CHECKING:
    from typing_extensions import Self

    from plsync.journal.followups import Op

__all__ = ["DEFAULT_BASE_URL", "PromptLayerClient", "halt_error"]

_PAGE_SIZE: Final = 100
_MAX_SEARCHED: Final = 25
# The value of the `Server` header of a stand-in begins like this.
_STAND_IN: Final = "plsync-stand-in"
# A response may quote a key that was replaced meanwhile.
_MOST_OLD_KEYS: Final = 4


class PromptLayerClient:
    """A connection to PromptLayer. Each call is one HTTP request: no retries, no redirects, bounded in time and size.

    Any thread may call. Each request in flight has its own connection.

    Args:
        api_key: PromptLayer's key, used for the header ``X-API-KEY`` only.
        base_url: PromptLayer's URL.
        timeout: seconds to connect, and seconds for the whole response. The upload of a body may take longer: up to an
            hour, as long as 512 bytes per second get through.
        source: the place of the key, for :meth:`renew_key` and for messages.

    Raises:
        AuthenticationError: the key is empty, or has characters that no key has.
        SyncError: the URL cannot be used, or the environment's proxy or certificates cannot.
    """

    def __init__(
        self, api_key: str, base_url: str = DEFAULT_BASE_URL, *, timeout: float = 30.0, source: KeySource | None = None
    ) -> None:
        key = api_key.strip()
        if not key or not key.isascii() or not key.isprintable():
            raise AuthenticationError(
                "the PromptLayer API key is empty or holds characters no key has; nothing was sent: "
                "set PROMPTLAYER_API_KEY again"
            )
        self.key_source: KeySource = source or VariableKey()
        """The place of the key."""
        self.url_setting = BASE_URL_VARIABLE
        """The setting that names the URL."""
        self._key = key
        server = ServerURL.parse(base_url)
        self.address = server.address
        """Scheme, host and port of the URL: reasons with it are stored and printed."""
        self.url = server.shown
        """The base URL as it may be stored and printed."""
        self.is_loopback = server.is_loopback
        """Whether the server is on this machine."""
        self.is_stand_in = False
        """Whether the server has responded as the stand-in of :mod:`plsync.testing`."""
        self._identity = server.identity
        self._timeout = timeout
        # The environment's proxy is for other machines only.
        proxy = None if server.is_loopback else proxy_of_environment(server.url)
        secrets = list(server.secrets)
        if proxy is not None and proxy.raw_auth is not None:
            secrets.append(proxy.raw_auth[1].decode("ascii", "replace"))
        self._key_redactors = [SecretRedactor(key, "[the key]")]
        self._redactors = [
            # Whole, because a part of a password may be a common word.
            *(SecretRedactor(secret, REDACTED, shortest_part=len(secret)) for secret in secrets),
        ]
        headers: dict[bytes | str, bytes | str] = {
            "X-API-KEY": key,
            "User-Agent": "plsync",
            "Accept": "application/json",
        }
        try:
            self._connection = Connection(server, headers, timeout, proxy)
        except OSError as error:
            raise SyncError(
                f"the certificate authorities of this environment cannot be read ({self._words(error)}); nothing was "
                "sent: correct SSL_CERT_FILE or SSL_CERT_DIR"
            ) from error

    @classmethod
    def connect(cls, settings: Settings, timeout: float = 30.0) -> Self:
        """A client with these settings. Reads the key.

        Raises:
            AuthenticationError: the key cannot be read, or cannot be one.
            SyncError: the URL cannot be used, or the environment's proxy cannot.
        """
        # The URL first: a key command may prompt a person.
        ServerURL.parse(settings.base_url, settings.named_by)
        client = cls(settings.key.read(), settings.base_url, timeout=timeout, source=settings.key)
        client.url_setting = settings.named_by
        return client

    def renew_key(self) -> bool:
        """Read the key again, and use it for later requests. For any thread.

        Returns:
            Whether the key has changed.

        Raises:
            AuthenticationError: it cannot be read. The client keeps the present key.
        """
        key = self.key_source.read()
        if key == self._key:
            return False
        self._key = key
        self._key_redactors = [SecretRedactor(key, "[the key]"), *self._key_redactors[:_MOST_OLD_KEYS]]
        self._connection.set_header("X-API-KEY", key)
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def send(self, spans: Sequence[dict[str, Any] | bytes], *, close: bool = True) -> Outcome:
        """``POST /spans-bulk``: store a batch of spans, whole or not at all.

        Args:
            spans: the ``Span`` objects of PromptLayer's OpenAPI file, as dicts or as JSON.
            close: whether to close all their traces. A closed trace accepts no further span.
        """
        return self._request("POST", "/spans-bulk", _bulk(spans, close=close), responses.parse_delivery)

    def close_trace(self, trace_id: str) -> Outcome:
        """``POST /api/public/v2/traces/{trace_id}/close``: close a trace without another span.

        Args:
            trace_id: 32 hexadecimal digits.
        """
        path = f"/api/public/v2/traces/{quote(trace_id, safe='')}/close"
        return self._request("POST", path, [b"{}"], lambda status, _body: Found({}) if status in {201, 409} else None)

    def look_up(self, trace_id: str) -> Outcome:
        """``GET /api/public/v2/traces/{trace_id}``: the request ids of a trace's spans.

        Args:
            trace_id: 32 hexadecimal digits.
        """
        return self._request("GET", f"/api/public/v2/traces/{quote(trace_id, safe='')}", None, responses.parse_trace)

    def track(self, op: Op, body: Mapping[str, Any]) -> Outcome:
        """``POST /rest/track-score``, ``-metadata``, ``-prompt`` or ``-group``: attach a follow-up to a request."""
        return self._request("POST", f"/rest/track-{op}", [orjson.dumps(body)], responses.parse_tracking)

    def search(self, record_ids: Sequence[str]) -> Outcome:
        """``POST /api/public/v2/requests/search``: the request ids of records, by the ``plsync_id`` in their metadata.

        PromptLayer allows 10 searches per minute, and its index lags behind.

        Args:
            record_ids: up to 25 record ids.
        """
        filters = [{"field": "metadata", "operator": "in", "nested_key": "plsync_id", "value": list(record_ids)}]
        query = {"filter_group": {"logic": "AND", "filters": filters}, "per_page": _MAX_SEARCHED}
        return self._request("POST", "/api/public/v2/requests/search", [orjson.dumps(query)], responses.parse_search)

    def probe(self) -> Outcome:
        """Look up a trace that does not exist: ``Missing`` means that PromptLayer is reachable and accepts the key."""
        return self.look_up("0" * 32)

    def greet(self) -> Outcome:
        """``GET /stand-in/identity``: any response shows whether the server is a stand-in, in :attr:`is_stand_in`."""
        return self._request("GET", "/stand-in/identity", None, lambda _status, _body: Found({}))

    def account(self, secret: bytes) -> bytes:
        """The identity of the server and the key: 16 bytes of a hash.

        Args:
            secret: the key of the hash.
        """
        return account_id(self._identity, self._key, secret)

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

    def _request(self, method: str, path: str, body: Sequence[bytes] | None, parse: responses.Parser) -> Outcome:
        exchange = Exchange(self._timeout, sum(map(len, body or ())))
        try:
            outcome = self._outcome(self._connection.request(exchange, method, path, body), parse)
        except Exception as error:  # a captive portal's response may raise anything, and must not end the run
            if not exchange.sent:
                return Unreachable(self._reason(f"no connection to {self.address}: {_cause(error)}"))
            outcome = outcome_of_error(error)(f"no clear response from {self.address}: {_cause(error)}")
        return replace(outcome, reason=self._reason(outcome.reason))

    def _outcome(self, response: Response, parse: responses.Parser) -> Outcome:
        # A stand-in listens on loopback only.
        if self.is_loopback and response.server.startswith(_STAND_IN):
            self.is_stand_in = True
        if response.content is None:
            note = (
                f"(a response in the content coding {responses.one_line(response.coding)!r}, which was not requested)"
            )
            return responses.failure(response.status, response.retry_after, None, note)
        parsed = responses.parse_json(response.content)
        outcome = None if parsed is None else parse(response.status, parsed)
        return responses.failure(response.status, response.retry_after, parsed) if outcome is None else outcome

    def _reason(self, reason: str) -> str:
        """A reason to be stored and printed. A server may repeat the key in its response, so it is replaced first."""
        return responses.short(self._words(reason))

    def _words(self, value: object) -> str:
        words = responses.one_line(value)
        for redact in (*self._key_redactors, *self._redactors):
            words = redact(words)
        return redact_text(words)


def _bulk(spans: Sequence[dict[str, Any] | bytes], *, close: bool) -> list[bytes]:
    """The body of ``POST /spans-bulk``, in parts: spans may be large, and are not copied into one piece."""
    encoded = [span if isinstance(span, bytes) else orjson.dumps(span) for span in spans]
    parts = [b'{"spans":[']
    for index, span in enumerate(encoded):
        parts += [b",", span] if index else [span]
    return [*parts, b'],"close_after":true}' if close else b"]}"]


def halt_error(
    outcome: Outcome, address: str, source: KeySource | None = None, url_setting: str = BASE_URL_VARIABLE
) -> SyncError:
    """The error to raise for an outcome with which a person has to change a setting.

    Args:
        outcome: ``Unauthorized``, ``OtherWorkspace`` or ``Misdirected``.
        address: the client's ``address``.
        source: the client's ``key_source``. Default: ``PROMPTLAYER_API_KEY``.
        url_setting: the client's ``url_setting``.
    """
    if isinstance(outcome, Unauthorized):
        return AuthenticationError(
            f"{address} refused the API key ({outcome.reason}); everything is safe in the journal: "
            f"{(source or VariableKey()).remedy}"
        )
    if isinstance(outcome, OtherWorkspace):
        return WrongWorkspace(outcome.reason)
    return SyncError(
        f"{address} does not respond as PromptLayer does ({outcome.reason}); everything is safe in the journal: "
        f"check {url_setting} and run this again"
    )


def _segment(name: str) -> str:
    """A name as one segment of a path, also one with slashes or dots."""
    quoted = quote(name, safe="")
    return quoted.replace(".", "%2E") if quoted in {".", ".."} else quoted


def _query(parameters: Mapping[str, object]) -> str:
    present = {name: value for name, value in parameters.items() if value is not None}
    return f"?{urlencode(present)}" if present else ""


def _cause(error: Exception) -> str:
    """The reason of an error, with the remedy if plsync knows one."""
    reason = responses.one_line(error) or type(error).__name__
    if "CERTIFICATE_VERIFY_FAILED" in reason:
        return f"{reason}; behind a proxy that inspects TLS, set SSL_CERT_FILE to its certificate authority"
    return reason
