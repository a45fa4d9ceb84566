"""What becomes of records after each outcome, as a table; and how long to wait.

Causes of the network are retried for ever, causes of the payload never.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from plsync.promptlayer.outcomes import (
    Ambiguous,
    Delivered,
    Misdirected,
    Offline,
    Outcome,
    Rejected,
    Throttled,
    Unauthorized,
)

__all__ = ["BATCH", "IN_FLIGHT", "RULES", "Policy", "Rule"]

BATCH: Final = 200
"""Records in one request, at most."""
IN_FLIGHT: Final = 6
"""Requests at once."""


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

# A link that flaps is back within minutes; until then a look costs one connection, and is taken often.
_OFTEN: Final = 1.5
_OFTEN_FOR: Final = 600


@dataclass(frozen=True)
class Policy:
    """Times, in seconds."""

    settle: float = 60.0
    """How long a request whose answer was lost may still be at work in PromptLayer, before it is looked up.

    The usual proxies and application servers give up on a request within 60 s; then it is stored or it never will be.
    """
    timeout: float = 30.0
    """The longest wait for an answer."""
    grace: float = 1.25
    """How long answers and callbacks that are on their way are waited for when the run is stopped.

    With what else there is to do it ends within 2 s.
    """
    shortest_pause: float = 1.0
    longest_pause: float = 300.0
    longest_offline: float = 30.0
    """Between looks for a network that has been gone for long; a change of the machine's own network wakes earlier."""
    looks: int = 5
    """How often a span without a request log is looked up, each time after twice as long, before it is searched for."""

    def pause(self, failures: int, outcome: Outcome, since: float = 0.0) -> float:
        """Seconds to wait after the n-th failure in a row, the first of which was ``since`` seconds ago.

        At least what the server asked for; without a network often at first; else growing, with full jitter. A server
        that asks for less than ``shortest_pause`` is not asked again and again for all that.

        >>> Policy().pause(1, Throttled("429", retry_after=7.0))
        7.0
        """
        asked = (outcome.retry_after or 0.0) if isinstance(outcome, Throttled) else 0.0
        if asked >= self.shortest_pause:
            return asked
        if isinstance(outcome, Offline):
            ceiling = _OFTEN if since < _OFTEN_FOR else self.longest_offline
            return random.uniform(ceiling / 2, ceiling)  # noqa: S311 - spreads load, guards nothing
        ceiling = min(self.longest_pause, self.shortest_pause * 2.0 ** min(failures, 30))
        return random.uniform(asked, ceiling)  # noqa: S311 - as above

    def next_look(self, waited_ms: int) -> int | None:
        """After how many ms to look again for a log that was not there after ``waited_ms``; None: not any more."""
        first = self.first_look * 1000
        wait = max(first, 2.0 * waited_ms)
        return int(wait) if wait < first * 2.0**self.looks else None

    @property
    def first_look(self) -> float:
        """The wait before the first look."""
        return max(self.settle, 1.0)

    @property
    def last_look(self) -> float:
        """The wait before the last look."""
        return self.first_look * 2.0 ** (self.looks - 1)

    @property
    def lease(self) -> float:
        """How long a batch is leased: a send that ran so long ago is over, and has settled."""
        return self.timeout + self.settle

    @property
    def longest_delivery(self) -> float:
        """No batch is at work for longer, however often it is halved: what was taken up before then has settled.

        One record may be long in going out: the 3 MB of an image are, over 1 KB a second.
        """
        return max(3600.0, 4 * self.timeout) + self.settle

    @property
    def longest_wait(self) -> float:
        """No record is put off for longer; one that seems to be was put off by a clock that has been set since."""
        return max(3600.0, self.lease, self.last_look)
