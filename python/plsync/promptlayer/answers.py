"""Every way a request to PromptLayer can turn out, as one table: what is met, and which outcome it is.

What an outcome then means for the records is the other table: :mod:`plsync.delivery.policy`.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from typing import Final

import httpx

from plsync.promptlayer.outcomes import Ambiguous, Failure, Misdirected, Offline, Rejected, Throttled, Unauthorized

__all__ = ["ANSWERS", "Answer", "Unreadable", "of_failure", "of_status"]


class Unreadable(Exception):
    """The answer is too long, or takes too long."""


@dataclass(frozen=True)
class Answer:
    """What is met in place of the answer that was asked for, whole and in PromptLayer's words."""

    met: str
    outcome: type[Failure]
    statuses: Container[int] = ()
    failures: tuple[type[Exception], ...] = ()


ANSWERS: Final = (
    Answer("400, 413, 422: the payload was refused", Rejected, statuses=frozenset({400, 413, 422})),
    Answer("401, 403: the key was refused", Unauthorized, statuses=frozenset({401, 403})),
    # The server, or a proxy before it, gave up waiting; or something is there already. Either may have been stored.
    Answer("408, 409: timed out, or in conflict with stored data", Ambiguous, statuses=frozenset({408, 409})),
    Answer("425, 429: not now", Throttled, statuses=frozenset({425, 429})),
    Answer("another 4xx: not an API that plsync knows", Misdirected, statuses=range(400, 500)),
    Answer("5xx", Ambiguous, statuses=range(500, 600)),
    # Whoever sends such an answer may have taken the request in: a captive portal has not, a proxy may.
    Answer("a redirect", Ambiguous, statuses=range(300, 400)),
    Answer("2xx that is cut short, not JSON, or not PromptLayer's", Ambiguous, statuses=range(200, 300)),
    Answer("another status", Ambiguous, statuses=range(1000)),
    Answer(
        "no connection: refused, no route, no such name, no TLS, no proxy",
        Offline,
        failures=(httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError),
    ),
    Answer("a connection lost, or silent for too long", Ambiguous, failures=(httpx.HTTPError, Unreadable)),
    # A redirect to nowhere, a head that httpx trips over: what a captive portal says must not end the run.
    Answer("an unreadable answer", Ambiguous, failures=(Exception,)),
)
"""The first row that matches counts."""


def of_status(status: int) -> type[Failure]:
    """The outcome that a status is, of an answer that is not the one asked for."""
    return next((answer.outcome for answer in ANSWERS if status in answer.statuses), Ambiguous)


def of_failure(error: Exception) -> type[Failure]:
    """The outcome that a failure of the connection is."""
    return next((answer.outcome for answer in ANSWERS if isinstance(error, answer.failures)), Ambiguous)
