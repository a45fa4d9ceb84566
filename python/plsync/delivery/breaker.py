"""The circuit breaker of a run: how long to pause after failures in a row."""

from __future__ import annotations

from plsync._common.clock import elapsed
from plsync.delivery.policy import SendPolicy
from plsync.promptlayer.outcomes import Outcome

__all__ = ["Breaker"]


class Breaker:
    """A circuit breaker: it counts failures in a row, and grows the pause between two attempts.

    While closed, requests go out. While open, the run pauses; the pass after the pause probes with a single record
    (half open).
    """

    def __init__(self, policy: SendPolicy) -> None:
        self._policy = policy
        self._since = 0.0
        self.failures = 0
        """Failures in a row."""

    @property
    def half_open(self) -> bool:
        """Whether the last attempt failed."""
        return self.failures > 0

    def close(self) -> None:
        """Count a success."""
        self.failures = 0

    def reset_time(self) -> None:
        """Let the pauses of a missing network be short again, after the network has changed."""
        self._since = elapsed()

    def open(self, outcome: Outcome) -> float:
        """Count a failure, and return the seconds to pause."""
        if self.failures == 0:
            self._since = elapsed()
        self.failures += 1
        return self._policy.pause(self.failures, outcome, elapsed() - self._since)
