"""The outcomes of a request to PromptLayer, and the table that maps each response or error to its outcome.

Another table has the effect of an outcome on the records: :mod:`plsync.delivery.policy`.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import httpcore

__all__ = [
    "OUTCOMES",
    "Ambiguous",
    "Delivered",
    "Exhausted",
    "Failure",
    "Fetched",
    "Found",
    "Misdirected",
    "Missing",
    "OtherWorkspace",
    "Outcome",
    "OutcomeRow",
    "Refused",
    "Throttled",
    "Unauthorized",
    "Unreachable",
    "UnreadableResponse",
    "label",
    "outcome_of_error",
    "outcome_of_status",
]


@dataclass(frozen=True)
class Delivered:
    """The batch is stored. A span without a request id was stored without its log."""

    request_ids: Mapping[str, int]
    """Request ids by span id."""
    closed: frozenset[str] = frozenset()
    """Span ids refused because their trace is closed: an earlier request stored them."""
    reason: str = "delivered"


@dataclass(frozen=True)
class Found:
    """A look-up or a search found its target."""

    request_ids: Mapping[str, int | None] = field(default_factory=dict)
    """Request ids by span id (look-up) or record id (search). None: PromptLayer has the span but no log."""
    reason: str = "found"


@dataclass(frozen=True)
class Fetched:
    """The resource exists, and the response holds it."""

    body: Mapping[str, Any]
    """PromptLayer's JSON object."""
    reason: str = "fetched"


@dataclass(frozen=True)
class _Reasoned:
    reason: str
    """One line for logs and for the record: the cause."""


class Missing(_Reasoned):
    """PromptLayer does not have the resource. Of a missing trace it stored nothing."""


class Failure(_Reasoned):
    """Base of the outcomes of a request that did not succeed."""


@dataclass(frozen=True)
class Refused(Failure):
    """PromptLayer understood the payload and refused it. PromptLayer will refuse the same payload again."""

    foreign: bool = False
    """The response is not PromptLayer's JSON: a proxy before it may refuse every request."""


class Unauthorized(Failure):
    """PromptLayer refused the API key, so it will refuse every payload."""


class OtherWorkspace(Failure):
    """The API key is not of the workspace that has the journal's records. Nothing was sent."""


class Misdirected(Failure):
    """The server is not PromptLayer, or has an API that this plsync does not know."""


@dataclass(frozen=True)
class Throttled(Failure):
    """PromptLayer did nothing, and expects the request again later."""

    retry_after: float | None = None
    """Seconds, from the ``Retry-After`` header; None without one."""


class Unreachable(Failure):
    """The client could not connect, so it sent nothing."""


class Ambiguous(Failure):
    """The client sent something and got no clear response: PromptLayer may have stored it."""


class Exhausted(Failure):
    """This machine has no disk space, memory, thread or file left, so the journal could not be used."""


Outcome = Delivered | Fetched | Found | Missing | Failure

_LABELS: Final[Mapping[type[Outcome], str]] = {Refused: "Rejected", Unreachable: "Offline"}


class UnreadableResponse(Exception):
    """The response is beyond a limit, or cannot be decoded."""


@dataclass(frozen=True)
class OutcomeRow:
    """One row of :data:`OUTCOMES`: a kind of response or error, and its outcome."""

    response: str
    outcome: type[Failure]
    statuses: Container[int] = ()
    errors: tuple[type[Exception], ...] = ()


OUTCOMES: Final = (
    OutcomeRow("400, 413, 422: the payload was refused", Refused, statuses=frozenset({400, 413, 422})),
    OutcomeRow("401, 403: the key was refused", Unauthorized, statuses=frozenset({401, 403})),
    # After a timeout of the server or of a proxy (408), or a conflict (409), the records may be stored.
    OutcomeRow("408, 409: timed out, or in conflict with stored data", Ambiguous, statuses=frozenset({408, 409})),
    OutcomeRow("425, 429: not now", Throttled, statuses=frozenset({425, 429})),
    OutcomeRow("another 4xx: not an API that plsync knows", Misdirected, statuses=range(400, 500)),
    OutcomeRow("5xx", Ambiguous, statuses=range(500, 600)),
    # A proxy that redirects may have passed the request on. A captive portal has not.
    OutcomeRow("a redirect", Ambiguous, statuses=range(300, 400)),
    OutcomeRow("2xx that is cut short, not JSON, or not PromptLayer's", Ambiguous, statuses=range(200, 300)),
    OutcomeRow("another status", Ambiguous, statuses=range(1000)),
    OutcomeRow(
        "no connection: refused, no route, no such name, no TLS, no proxy",
        Unreachable,
        errors=(httpcore.ConnectError, httpcore.ConnectTimeout, httpcore.PoolTimeout, httpcore.ProxyError),
    ),
    OutcomeRow(
        "a connection lost, or silent for too long",
        Ambiguous,
        errors=(httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, UnreadableResponse),
    ),
    # Responses of captive portals may raise anything. They must not end the run.
    OutcomeRow("an unreadable response", Ambiguous, errors=(Exception,)),
)
"""The first row that matches counts."""


def outcome_of_status(status: int) -> type[Failure]:
    """The outcome of a response with this status that is not the expected one."""
    return next((row.outcome for row in OUTCOMES if status in row.statuses), Ambiguous)


def label(outcome: Outcome) -> str:
    """The name of an outcome in the output of ``plsync run --json``.

    >>> label(Unreachable("no route")), label(Throttled("429"))
    ('Offline', 'Throttled')
    """
    return _LABELS.get(type(outcome), type(outcome).__name__)


def outcome_of_error(error: Exception) -> type[Failure]:
    """The outcome of a request that raised ``error``."""
    return next((row.outcome for row in OUTCOMES if isinstance(error, row.errors)), Ambiguous)
