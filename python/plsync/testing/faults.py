"""Faults to order: what should go wrong with the next requests."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Fault:
    """One scripted misfortune; ``times`` counts down."""

    kind: str
    times: int
    path: str | None = None
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    processed: bool = False
    seconds: float = 0.0


class Faults:
    """A queue of faults. Each request takes the first one whose path is a prefix of its own."""

    def __init__(self) -> None:
        """Start with nothing wrong."""
        self._lock = threading.Lock()
        self._queue: list[Fault] = []
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
        """Answer the next ``times`` requests with ``status``; with ``processed``, only after doing what they asked."""
        self._add(
            Fault("fail", times, path, status=status, headers=headers or {}, body=body, processed=processed),
        )

    def drop_reply(self, *, times: int = 1, path: str | None = None, processed: bool = True) -> None:
        """Do what the next ``times`` requests ask, then close the connection without a word: the lost reply."""
        self._add(Fault("drop", times, path, processed=processed))

    def hang(self, seconds: float, *, times: int = 1, path: str | None = None, processed: bool = True) -> None:
        """Keep the next ``times`` requests waiting ``seconds`` for an answer, or until the server closes."""
        self._add(Fault("hang", times, path, seconds=seconds, processed=processed))

    def clear(self) -> None:
        """Forget every fault that has not happened."""
        with self._lock:
            self._queue.clear()

    def take(self, path: str) -> Fault | None:
        """The fault that this request meets, if any."""
        with self._lock:
            for fault in self._queue:
                if fault.path is None or path.startswith(fault.path):
                    fault.times -= 1
                    if fault.times <= 0:
                        self._queue.remove(fault)
                    return fault
        return None

    def wait(self, seconds: float) -> None:
        """Hold a request back; returns early when the server closes."""
        self._stopping.wait(seconds)

    def stop(self) -> None:
        """Let go of everything held back."""
        self._stopping.set()

    def _add(self, fault: Fault) -> None:
        with self._lock:
            self._queue.append(fault)
