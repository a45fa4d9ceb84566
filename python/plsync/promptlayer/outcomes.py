"""How a request to PromptLayer can turn out: every answer, and every silence, is exactly one of these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "Ambiguous",
    "Delivered",
    "Failure",
    "Fetched",
    "Found",
    "Misdirected",
    "Missing",
    "Offline",
    "Outcome",
    "Rejected",
    "Throttled",
    "Unauthorized",
]


@dataclass(frozen=True)
class Delivered:
    """The batch is stored. A span without a request id was stored without its log."""

    request_ids: Mapping[str, int]
    """Request ids by span id."""
    closed: frozenset[str] = frozenset()
    """Span ids refused because their trace is closed: it was stored before."""
    reason: str = "delivered"


@dataclass(frozen=True)
class Found:
    """A trace that was looked up is there; its spans with their request ids, None where no log was made."""

    request_ids: Mapping[str, int | None] = field(default_factory=dict)
    reason: str = "found"


@dataclass(frozen=True)
class Fetched:
    """What was asked for is there: PromptLayer's answer."""

    answer: Mapping[str, Any]
    reason: str = "fetched"


@dataclass(frozen=True)
class Missing:
    """What was looked up is not there: of a trace nothing was stored."""

    reason: str


@dataclass(frozen=True)
class Rejected:
    """The payload was understood and refused; the same payload will be refused again."""

    reason: str
    foreign: bool = False
    """Not in PromptLayer's words: something before it may refuse whatever comes."""


@dataclass(frozen=True)
class Unauthorized:
    """The API key was refused, whatever the payload."""

    reason: str


@dataclass(frozen=True)
class Misdirected:
    """What answered is not PromptLayer's API, or not one this plsync knows."""

    reason: str


@dataclass(frozen=True)
class Throttled:
    """Not now; nothing was done."""

    reason: str
    retry_after: float | None = None
    """Seconds, when the server named them."""


@dataclass(frozen=True)
class Offline:
    """No connection was made: nothing was sent."""

    reason: str


@dataclass(frozen=True)
class Ambiguous:
    """Something was sent and no clear answer came: it may have been stored, or not."""

    reason: str


Failure = Rejected | Unauthorized | Misdirected | Throttled | Offline | Ambiguous
Outcome = Delivered | Fetched | Found | Missing | Failure
