"""The circuit breaker: after a failure nothing is sent until a pause is over, and then a little first."""

from __future__ import annotations

from plsync._common.clock import elapsed
from plsync.delivery.policy import Policy
from plsync.promptlayer.outcomes import Outcome

__all__ = ["Breaker"]


class Breaker:
    """Closed as long as requests go well. Open: pause. Half open: try one record, then close or open again."""

    def __init__(self, policy: Policy) -> None:
        """Closed."""
        self._policy = policy
        self._failures = 0
        self._since = 0.0

    @property
    def half_open(self) -> bool:
        """Whether the last thing that happened was a failure."""
        return self._failures > 0

    @property
    def failures(self) -> int:
        """How many in a row."""
        return self._failures

    def close(self) -> None:
        """All went well."""
        self._failures = 0

    def hurry(self) -> None:
        """Something has changed: pause as after a first failure."""
        self._since = elapsed()

    def open(self, outcome: Outcome) -> float:
        """It failed; returns how many seconds to pause."""
        if self._failures == 0:
            self._since = elapsed()
        self._failures += 1
        return self._policy.pause(self._failures, outcome, elapsed() - self._since)
