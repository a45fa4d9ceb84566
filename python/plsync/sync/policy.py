"""What becomes of records after each outcome, as a table; and how long to wait.

Causes of the network are retried for ever, causes of the payload never.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from plsync.sync.outcomes import (
    Ambiguous,
    Delivered,
    Misdirected,
    Offline,
    Outcome,
    Rejected,
    Throttled,
    Unauthorized,
)

__all__ = ["RULES", "Policy", "Rule"]


@dataclass(frozen=True)
class Rule:
    """What one outcome of a send means."""

    becomes: Literal["acked", "pending", "in_doubt", "dead"]
    """The state of the batch's records (a rejected batch is halved first, until one record is left)."""
    then: Literal["go on", "pause", "stop"]
    """``pause``: the same would happen to the next batch, try later. ``stop``: somebody has to change something."""


RULES: Final[Mapping[type[Outcome], Rule]] = {
    Delivered: Rule("acked", "go on"),
    Rejected: Rule("dead", "go on"),
    Ambiguous: Rule("in_doubt", "pause"),
    Throttled: Rule("pending", "pause"),
    Offline: Rule("pending", "pause"),
    Unauthorized: Rule("pending", "stop"),
    Misdirected: Rule("pending", "stop"),
}


@dataclass(frozen=True)
class Policy:
    """Times, in seconds."""

    settle: float = 60.0
    """How long a request whose answer was lost may still be at work in PromptLayer, before it is looked up."""
    timeout: float = 30.0
    """The longest wait for an answer."""
    shortest_pause: float = 1.0
    longest_pause: float = 300.0

    def pause(self, failures: int, outcome: Outcome) -> float:
        """Seconds to wait after the n-th failure in a row: what the server asked for, else growing, with full jitter.

        >>> Policy().pause(1, Throttled("429", retry_after=7.0))
        7.0
        """
        if isinstance(outcome, Throttled) and outcome.retry_after is not None:
            return outcome.retry_after
        ceiling = min(self.longest_pause, self.shortest_pause * 2.0 ** min(failures, 30))
        return random.uniform(self.shortest_pause / 2, ceiling)  # noqa: S311 - spreads load, guards nothing

    @property
    def lease(self) -> float:
        """How long a batch is leased: a send that ran so long ago is over, and has settled."""
        return self.timeout + self.settle
