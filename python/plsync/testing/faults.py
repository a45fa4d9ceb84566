"""Faults to order: what should go wrong with which requests."""

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
    """One misfortune that a request may meet.

    ``kind``: ``fail`` answers with ``status``, ``headers`` and ``body``; ``drop`` closes the connection without a
    word; ``reset`` resets it; ``hang`` waits ``seconds`` before it answers; ``trickle`` lets the answer take
    ``seconds``; ``truncate`` closes the connection in the middle of the answer.
    """

    kind: Kind
    processed: bool = False
    """Whether the server does what was asked before things go wrong."""
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    seconds: float = 0.0
    unread: bool = False
    """Whether it happens before the request's body is read."""


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
"""What a bad network and a bad day of PromptLayer bring, before and after a request was stored."""


@dataclass
class _Order:
    """A fault for the next ``times`` requests whose path starts with ``path``."""

    fault: Fault
    times: int
    path: str | None


class _Plan:
    """Faults for a random part of the requests, the same for the same seed."""

    def __init__(self, fraction: float, seed: int, faults: Sequence[Fault], path: str | None) -> None:
        self._fraction = fraction
        self._random = random.Random(seed)  # noqa: S311 - misfortune need not be secret
        self._faults = list(faults)
        self._path = path

    def draw(self, path: str) -> Fault | None:
        if self._path is not None and not path.startswith(self._path):
            return None
        # Both are drawn for every request, so that the n-th meets the same whatever became of those before it.
        happens, fault = self._random.random() < self._fraction, self._random.choice(self._faults)
        return fault if happens else None


class Faults:
    """A queue of faults, and a plan for when it is empty.

    Each request takes the first fault whose ``path`` is a prefix of its own, or whatever the plan has for it. Faults
    with ``processed`` happen after the server has done what was asked, so that only the answer is lost.
    """

    def __init__(self) -> None:
        """Start with nothing wrong."""
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
        """Answer the next ``times`` requests with ``status``; without a ``body``, with PromptLayer's error body."""
        self.order(Fault("fail", processed, status, headers or {}, body), times=times, path=path)

    def garbage(self, *, times: int = 1, path: str | None = None, processed: bool = True) -> None:
        """Answer the next ``times`` requests with 201 and bytes that are no JSON."""
        self.fail(201, body=b"\x00\xffnot JSON", times=times, path=path, processed=processed)

    def portal(self, *, times: int = 1, path: str | None = None) -> None:
        """Answer the next ``times`` requests as a captive portal does: 200, and a page to log in."""
        self.fail(200, body=_PORTAL, headers={"Content-Type": "text/html"}, times=times, path=path)

    def drop_reply(self, *, times: int = 1, path: str | None = None, processed: bool = True) -> None:
        """Do what the next ``times`` requests ask, then close the connection without a word: the lost reply."""
        self.order(Fault("drop", processed), times=times, path=path)

    def reset(self, *, times: int = 1, path: str | None = None, processed: bool = False, unread: bool = False) -> None:
        """Reset the connections of the next ``times`` requests; with ``unread``, while their bodies are on the way."""
        self.order(Fault("reset", processed, unread=unread), times=times, path=path)

    def hang(
        self, seconds: float = math.inf, *, times: int = 1, path: str | None = None, processed: bool = True
    ) -> None:
        """Keep the next ``times`` requests waiting ``seconds`` for an answer, or until the server closes."""
        self.order(Fault("hang", processed, seconds=seconds), times=times, path=path)

    def trickle(self, seconds: float, *, times: int = 1, path: str | None = None, processed: bool = True) -> None:
        """Let the answers to the next ``times`` requests come in pieces over ``seconds``."""
        self.order(Fault("trickle", processed, seconds=seconds), times=times, path=path)

    def truncate(self, *, times: int = 1, path: str | None = None, processed: bool = True) -> None:
        """Close the connection in the middle of the answers to the next ``times`` requests."""
        self.order(Fault("truncate", processed), times=times, path=path)

    def refuse(self, text: str, status: int = 422) -> None:
        """Refuse every request whose body has this text in it, until ``clear()``: what PromptLayer cannot digest."""
        with self._lock:
            self._refused.append((text.encode(), status))

    def order(self, fault: Fault, *, times: int = 1, path: str | None = None) -> None:
        """Let the next ``times`` requests meet this fault."""
        with self._lock:
            self._queue.append(_Order(fault, times, path))

    def plan(
        self, *, fraction: float, seed: int = 0, faults: Sequence[Fault] = NETWORK_FAULTS, path: str | None = None
    ) -> None:
        """Let a random part of all requests from now on meet one of ``faults``.

        Args:
            fraction: of the requests, 0 to 1.
            seed: the n-th request meets the same for the same seed.
            faults: what to choose from.
            path: only requests whose path starts with this.

        Raises:
            ValueError: ``fraction`` is not between 0 and 1, or there are no faults to choose from.
        """
        if not 0 <= fraction <= 1 or not faults:
            raise ValueError("a plan needs a fraction from 0 to 1, and at least one fault")
        with self._lock:
            self._plans.append(_Plan(fraction, seed, faults, path))

    def clear(self) -> None:
        """Forget every fault that has not happened, every plan, and what is refused."""
        with self._lock:
            self._queue.clear()
            self._plans.clear()
            self._refused.clear()

    @property
    def faults_met(self) -> dict[str, int]:
        """How many requests met a fault, by its kind."""
        with self._lock:
            return dict(self._met)

    def take(self, path: str) -> Fault | None:
        """The fault that this request meets, if any."""
        with self._lock:
            fault = self._next(path)
            if fault is not None:
                self._met[fault.kind] += 1
            return fault

    def refusal(self, body: bytes) -> int | None:
        """The status this body is refused with, if it is."""
        return next((status for text, status in self._refused if text in body), None)

    def wait(self, seconds: float) -> None:
        """Hold a request back; returns early when the server closes."""
        self._stopping.wait(None if math.isinf(seconds) else seconds)

    def stop(self) -> None:
        """Let go of everything held back."""
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
