"""Pass after pass: once until nothing more can be done now, or for as long as it is wanted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from plsync.errors import SinkUnavailable
from plsync.sync.callbacks import DeliveryReport, deliver, import_sink
from plsync.sync.engine import Engine, Pass
from plsync.sync.outcomes import Offline, Outcome
from plsync.sync.policy import RULES, Policy

if TYPE_CHECKING:
    from plsync.journal import Journal
    from plsync.sync.transport import PromptLayerClient

__all__ = ["Callbacks", "Runner", "Step", "Waiting", "left"]

_POLL: Final = 2.0
_TRIES: Final = 4
_PATIENCE: Final = 30.0


@dataclass(frozen=True)
class Waiting:
    """A pause before the next pass, because of an outcome."""

    seconds: float
    outcome: Outcome


Step = Pass | DeliveryReport | Waiting


@dataclass
class Callbacks:
    """Delivers to sinks that this process can import, and remembers why it cannot import the others."""

    journal: Journal
    unavailable: dict[str, str] = field(default_factory=dict)
    _imported: dict[str, Callable[..., Any]] = field(default_factory=dict)

    def deliver(self) -> DeliveryReport:
        """One round, for entries whose own process is gone: a live one delivers for itself."""
        waiting = self.journal.callback_sinks()
        for sink in waiting:
            if sink not in self._imported and sink not in self.unavailable:
                try:
                    self._imported[sink] = import_sink(sink)
                except SinkUnavailable as error:
                    self.unavailable[sink] = str(error)
        return deliver(self.journal, {sink: self._imported[sink] for sink in waiting if sink in self._imported})


class Runner:
    """Runs the engine of one journal. The caller holds the journal's ``sync.lock``."""

    def __init__(
        self,
        journal: Journal,
        client: PromptLayerClient,
        policy: Policy,
        *,
        batch: int = 100,
        callbacks: Callbacks | None = None,
        stopping: threading.Event | None = None,
    ) -> None:
        """Prepare. ``callbacks=None`` delivers none; setting ``stopping`` ends the run after the request at hand."""
        self._policy = policy
        self._callbacks = callbacks
        self._stopping = stopping or threading.Event()
        self._engine = Engine(journal, client, policy, batch=batch, stopped=self._stopping.is_set)

    def once(self) -> Iterator[Step]:
        """Steps until nothing more can be done now. Short pauses are waited out, a missing network is not."""
        failures = 0
        while not self._stopping.is_set():
            result = self._engine.run_pass()
            yield result
            yield from self._deliver()
            if result.halt is None:
                if not result.moved:
                    return
                continue
            failures += 1
            wait = self._policy.pause(failures, result.halt)
            if _gives_up(result.halt) or failures == _TRIES or wait > _PATIENCE:
                return
            yield Waiting(wait, result.halt)
            self._stopping.wait(wait)

    def forever(self) -> Iterator[Step]:
        """Steps until ``stopping`` is set, or something has to be changed by somebody."""
        failures = 0
        while not self._stopping.is_set():
            result = self._engine.run_pass()
            yield result
            yield from self._deliver()
            if result.halt is None:
                failures = 0
                if not result.moved:
                    self._stopping.wait(_POLL)
                continue
            if RULES[type(result.halt)].then == "stop":
                return
            failures += 1
            wait = self._policy.pause(failures, result.halt)
            yield Waiting(wait, result.halt)
            self._stopping.wait(wait)

    def _deliver(self) -> Iterator[Step]:
        if self._callbacks is not None:
            yield self._callbacks.deliver()


def left(journal: Journal) -> dict[str, int]:
    """What is still to be done, by state, and under ``callbacks``; calls that are running do not count."""
    return journal.stats().left


def _gives_up(outcome: Outcome) -> bool:
    return isinstance(outcome, Offline) or RULES[type(outcome)].then == "stop"
