"""Failures of the network and of the server, which a test injects into the stand-in."""

from __future__ import annotations

import math
import random
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

__all__ = ["NETWORK_FAULTS", "Fault", "Faults", "Kind"]

Kind = Literal["fail", "drop", "reset", "hang", "trickle", "truncate"]

_PORTAL = b"<!doctype html><title>Welcome</title><form>Accept the terms to use this network</form>"


@dataclass(frozen=True)
class Fault:
    """One failure that a request can meet.

    The values of ``kind``:

    - ``fail``: respond with ``status``, ``headers`` and ``body``.
    - ``drop``: close the connection without a response.
    - ``reset``: reset the connection.
    - ``hang``: wait ``seconds``, then respond.
    - ``trickle``: send the response in pieces over ``seconds``.
    - ``truncate``: close the connection in the middle of the response.

    >>> from plsync.testing import Fault, PromptLayerServer
    >>> with PromptLayerServer() as server:
    ...     server.plan(fraction=0.3, seed=1, faults=[Fault("drop", processed=True), Fault("fail", status=503)])
    """

    kind: Kind
    processed: bool = False
    """Whether the server processes the request before it fails."""
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """The body of a ``fail``; None for PromptLayer's error body."""
    seconds: float = 0.0
    unread: bool = False
    """Whether the request fails before the server reads its body."""


_AT_ONCE = {"Retry-After": "0"}

NETWORK_FAULTS: Final[tuple[Fault, ...]] = (
    Fault("drop"),
    Fault("drop", processed=True),
    Fault("reset", unread=True),
    Fault("reset", processed=True),
    Fault("truncate", processed=True),
    Fault("trickle", processed=True, seconds=0.05),
    Fault("hang", processed=True, seconds=0.05),
    Fault("fail", status=500),
    Fault("fail", status=500, processed=True),
    Fault("fail", status=502, body=b"<html>Bad Gateway</html>", headers={"Content-Type": "text/html"}, processed=True),
    Fault("fail", status=503, headers=_AT_ONCE),
    Fault("fail", status=408),
    Fault("fail", status=429, headers=_AT_ONCE),
    Fault("fail", status=201, body=b"\x00\xffnot JSON", processed=True),
    Fault("fail", status=200, body=_PORTAL, headers={"Content-Type": "text/html"}),
)
"""Failures of bad networks and of a failing PromptLayer, before and after the server stores a request."""


@dataclass
class _Order:
    """A fault for the next ``times`` requests whose path starts with ``path``."""

    fault: Fault
    times: int
    path: str | None


class _Plan:
    """Faults for a random part of the requests. The same seed chooses the same requests and faults."""

    def __init__(self, fraction: float, seed: int, faults: Sequence[Fault], path: str | None) -> None:
        self._fraction = fraction
        self._random = random.Random(seed)  # noqa: S311 - faults need no cryptographic randomness
        self._faults = list(faults)
        self._path = path

    def draw(self, path: str) -> Fault | None:
        if self._path is not None and not path.startswith(self._path):
            return None
        # Every request draws both numbers, so the faults of later requests do not depend on earlier results.
        happens, fault = self._random.random() < self._fraction, self._random.choice(self._faults)
        return fault if happens else None


class Faults:
    """A queue of faults, and random plans for requests that the queue does not cover.

    A request takes the first queued fault whose ``path`` is a prefix of the request's path. ``path=None`` fits all.
    With ``processed`` the server processes the request first, so that only the response is lost.

    >>> from plsync.testing import PromptLayerServer
    >>> with PromptLayerServer() as server:
    ...     server.fail(429, headers={"Retry-After": "1"}, times=2)
    ...     server.drop_reply(path="/spans-bulk")
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: list[_Order] = []
        self._plans: list[_Plan] = []
        self._refused: list[tuple[bytes, int]] = []
        self._met: Counter[str] = Counter()
        self._stopping = threading.Event()

    def fail(
        self,
        status: int,
        *,
        times: int = 1,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        path: str | None = None,
        processed: bool = False,
    ) -> None:
        """Respond to the next ``times`` requests with ``status``; ``body`` defaults to PromptLayer's error body."""
        self.order(Fault("fail", processed, status, headers or {}, body), times=times, path=path)

    def garbage(self, *, times: int = 1, path: str | None = None, processed: bool = True) -> None:
        """Respond to the next ``times`` requests with 201 and bytes that are not JSON."""
        self.fail(201, body=b"\x00\xffnot JSON", times=times, path=path, processed=processed)

    def portal(self, *, times: int = 1, path: str | None = None) -> None:
        """Respond to the next ``times`` requests like a captive portal: 200 and a login page."""
        self.fail(200, body=_PORTAL, headers={"Content-Type": "text/html"}, times=times, path=path)

    def drop_reply(self, *, times: int = 1, path: str | None = None, processed: bool = True) -> None:
        """Process the next ``times`` requests, then close the connection without a response."""
        self.order(Fault("drop", processed), times=times, path=path)

    def reset(self, *, times: int = 1, path: str | None = None, processed: bool = False, unread: bool = False) -> None:
        """Reset the connections of the next ``times`` requests; with ``unread`` before their bodies are read."""
        self.order(Fault("reset", processed, unread=unread), times=times, path=path)

    def hang(
        self, seconds: float = math.inf, *, times: int = 1, path: str | None = None, processed: bool = True
    ) -> None:
        """Delay the responses to the next ``times`` requests by ``seconds``, or until the server stops."""
        self.order(Fault("hang", processed, seconds=seconds), times=times, path=path)

    def trickle(self, seconds: float, *, times: int = 1, path: str | None = None, processed: bool = True) -> None:
        """Send the responses to the next ``times`` requests in pieces over ``seconds``."""
        self.order(Fault("trickle", processed, seconds=seconds), times=times, path=path)

    def truncate(self, *, times: int = 1, path: str | None = None, processed: bool = True) -> None:
        """Close the connection in the middle of the responses to the next ``times`` requests."""
        self.order(Fault("truncate", processed), times=times, path=path)

    def refuse(self, text: str, status: int = 422) -> None:
        """Respond with ``status`` to every request whose body contains ``text``, until ``clear()``: a poison record."""
        with self._lock:
            self._refused.append((text.encode(), status))

    def order(self, fault: Fault, *, times: int = 1, path: str | None = None) -> None:
        """Queue ``fault`` for the next ``times`` requests."""
        with self._lock:
            self._queue.append(_Order(fault, times, path))

    def plan(
        self, *, fraction: float, seed: int = 0, faults: Sequence[Fault] = NETWORK_FAULTS, path: str | None = None
    ) -> None:
        """Let a random part of all further requests fail.

        Args:
            fraction: the part of the requests that fail, 0 to 1.
            seed: the same seed chooses the same requests and faults.
            faults: the faults to choose from.
            path: only requests whose path starts with this text can fail; None for all.

        Raises:
            ValueError: ``fraction`` is not between 0 and 1, or ``faults`` is empty.
        """
        if not 0 <= fraction <= 1 or not faults:
            raise ValueError("a plan needs a fraction from 0 to 1 and at least one fault; no plan was added")
        with self._lock:
            self._plans.append(_Plan(fraction, seed, faults, path))

    def clear(self) -> None:
        """Remove every queued fault, every plan and every refused text."""
        with self._lock:
            self._queue.clear()
            self._plans.clear()
            self._refused.clear()

    @property
    def faults_met(self) -> dict[str, int]:
        """The number of requests that met a fault, by its kind."""
        with self._lock:
            return dict(self._met)

    def take_fault(self, path: str) -> Fault | None:
        """The fault for the next request to ``path``, or None; a queued fault is used up."""
        with self._lock:
            fault = self._next(path)
            if fault is not None:
                self._met[fault.kind] += 1
            return fault

    def refused_status(self, body: bytes) -> int | None:
        """The status for a body with a refused text, or None."""
        return next((status for text, status in self._refused if text in body), None)

    def wait(self, seconds: float) -> None:
        """Hold a request back; returns early when the server stops."""
        self._stopping.wait(None if math.isinf(seconds) else seconds)

    def stop(self) -> None:
        """Release every request that a fault holds back."""
        self._stopping.set()

    def _next(self, path: str) -> Fault | None:
        for order in self._queue:
            if order.path is None or path.startswith(order.path):
                order.times -= 1
                if order.times <= 0:
                    self._queue.remove(order)
                return order.fault
        drawn = [plan.draw(path) for plan in self._plans]
        return next((fault for fault in drawn if fault is not None), None)
