"""The effect of each outcome on the records and on the run, as a table; and the times to wait.

A network failure is retried without end. A refused payload is never retried.
"""

from __future__ import annotations

import enum
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from plsync._common.clock import WallClock
from plsync.promptlayer.outcomes import (
    Ambiguous,
    Delivered,
    Exhausted,
    Misdirected,
    OtherWorkspace,
    Outcome,
    Refused,
    Throttled,
    Unauthorized,
    Unreachable,
)

__all__ = ["RULES", "Action", "Rule", "SendPolicy"]


class Action(enum.Enum):
    """The next step of a run after an outcome."""

    CONTINUE = "continue"
    """Send the next batch."""
    PAUSE = "pause"
    """The next batch would fail as well: try again later."""
    STOP = "stop"
    """A person has to change a setting first."""


@dataclass(frozen=True)
class Rule:
    """The effect of one outcome."""

    state: Literal["acked", "pending", "in_doubt", "dead"]
    """The new state of the batch's records. A refused batch is halved first, until one record is left."""
    action: Action


RULES: Final[Mapping[type[Outcome], Rule]] = {
    Delivered: Rule("acked", Action.CONTINUE),
    Refused: Rule("dead", Action.CONTINUE),
    Ambiguous: Rule("in_doubt", Action.PAUSE),
    Throttled: Rule("pending", Action.PAUSE),
    Unreachable: Rule("pending", Action.PAUSE),
    Exhausted: Rule("pending", Action.PAUSE),
    Unauthorized: Rule("pending", Action.STOP),
    OtherWorkspace: Rule("pending", Action.STOP),
    Misdirected: Rule("pending", Action.STOP),
}

# A link that flaps is back within minutes. Until then plsync probes often, at the cost of one connection each.
_OFTEN: Final = 1.5
_OFTEN_FOR: Final = 600


@dataclass(frozen=True)
class SendPolicy:
    """The times of a run, in seconds."""

    settle: float = 60.0
    """The wait before a record in doubt is looked up: PromptLayer may still be storing it.

    The usual proxies and application servers give up on a request within 60 s. After that it is stored or it never
    will be.
    """
    timeout: float = 30.0
    """The longest wait for a response."""
    tree_wait: float = 60.0
    """The longest wait of an ended record for the end of its tree's root. After that the tree is sent in parts."""
    grace: float = 1.25
    """The wait for responses and callbacks in flight when the run is stopped. The whole stop takes up to 2 s."""
    shortest_pause: float = 1.0
    longest_pause: float = 300.0
    longest_offline: float = 30.0
    """The wait between probes of a network that has been gone for long. A change of the network ends the wait."""
    lookups: int = 5
    """Look-ups of a span without a request log, each after twice the wait, before plsync searches for its record."""
    clock: WallClock = field(default_factory=WallClock, compare=False, repr=False)
    """The clock of every due time. One run uses it."""

    def pause(self, failures: int, outcome: Outcome, since: float = 0.0) -> float:
        """Seconds to wait after a failure.

        The pause grows with each failure, with full jitter. Without a network it stays short at first. A
        ``Retry-After`` of ``shortest_pause`` or more wins; a shorter one is only the lower bound.

        Args:
            failures: failures in a row, with the present failure.
            outcome: the failure.
            since: seconds since the first of them.

        >>> SendPolicy().pause(1, Throttled("429", retry_after=7.0))
        7.0
        """
        retry_after = (outcome.retry_after or 0.0) if isinstance(outcome, Throttled) else 0.0
        if retry_after >= self.shortest_pause:
            return retry_after
        if isinstance(outcome, Unreachable):
            ceiling = _OFTEN if since < _OFTEN_FOR else self.longest_offline
            return random.uniform(ceiling / 2, ceiling)  # noqa: S311 - spreads load, guards nothing
        ceiling = min(self.longest_pause, self.shortest_pause * 2.0 ** min(failures, 30))
        return random.uniform(retry_after, ceiling)  # noqa: S311 - spreads load, guards nothing

    def next_lookup(self, waited_ms: int) -> int | None:
        """Milliseconds to wait before the next look-up of a missing log; None after the last.

        Args:
            waited_ms: the wait before the look-up that found no log.
        """
        first = self.first_lookup * 1000
        wait = max(first, 2.0 * waited_ms)
        return int(wait) if wait < first * 2.0**self.lookups else None

    @property
    def first_lookup(self) -> float:
        """The wait before the first look-up."""
        return max(self.settle, 1.0)

    @property
    def last_lookup(self) -> float:
        """The wait before the last look-up."""
        return self.first_lookup * 2.0 ** (self.lookups - 1)

    @property
    def lease(self) -> float:
        """The time for which a batch is leased: a request that began before is over, and has settled."""
        return self.timeout + self.settle

    def now_ms(self) -> int:
        """The time of :attr:`clock`, in ms since the epoch."""
        return self.clock.now_ms()

    def due_ms(self, wait: float) -> int:
        """The end of a wait of seconds that begins now, in ms since the epoch."""
        return self.now_ms() + int(wait * 1000)

    def settled_ms(self, factor: int = 1) -> int:
        """The time, in ms since the epoch, at which a request that ends now has settled.

        Args:
            factor: multiplies the wait, for a record that failed before.
        """
        return self.due_ms(self.settle * factor)

    @property
    def longest_send(self) -> float:
        """The longest time until a batch is sent and has settled, however often it is halved.

        One record may take long: an image of 3 MB takes 50 minutes over 1 KB per second.
        """
        return max(3600.0, 4 * self.timeout) + self.settle

    @property
    def longest_wait(self) -> float:
        """The longest wait of a record. A due time further ahead was set before a change of the wall clock."""
        return max(3600.0, self.lease, self.last_lookup)
