"""Decides which changes of a run are worth a line of its log: interruptions, and results that repeat.

A link may drop every second for weeks, and calls may arrive every second for years. The log stays short in both cases.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from plsync._common.clock import elapsed
from plsync.promptlayer.outcomes import Outcome

__all__ = ["Change", "Interruptions", "Repetitions", "Sum", "same_reason"]

_Clock = Callable[[], float]

# Seconds between two lines about the same thing: the first repetitions show soon, later ones are summed up.
_STEPS: Final = (60.0, 600.0, 3600.0)
_MOST_KINDS: Final = 200
# Interruptions that get a line each, and the seconds until one more does.
_CHANGES_AT_ONCE: Final = 8
_BETWEEN_CHANGES: Final = 600.0

_STATUS: Final = re.compile(r"\b[1-5]\d\d\b")
_VARIABLE: Final = re.compile(r"\w*\d\w*")


def same_reason(reason: str) -> str:
    """A reason without its numbers and ids, for the comparison of two reasons. The HTTP status stays.

    >>> same_reason("503 try again in 17 s (request 0a1b2c)") == same_reason("503 try again in 4 s (request ff00)")
    True
    """
    status = _STATUS.search(reason)
    return f"{status[0] if status else ''} {_VARIABLE.sub('#', reason)}"


@dataclass(frozen=True)
class Sum:
    """Results of one kind that are printed together."""

    number: int
    seconds: float
    """The time in which they came; 0 for a single result that is printed at once."""
    text: Callable[[int], str]
    """Formats the number of results."""


@dataclass
class _Kind:
    text: Callable[[int], str]
    printed_at: float
    step: int = 0
    kept: int = 0


class Repetitions:
    """Sums up results of the same kind: the first at once, later ones after a minute, ten minutes, then every hour.

    Args:
        clock: elapsed seconds.
    """

    def __init__(self, clock: _Clock = elapsed) -> None:
        self._clock = clock
        self._kinds: OrderedDict[str, _Kind] = OrderedDict()

    def add(self, kind: str, number: int, text: Callable[[int], str]) -> Iterator[Sum]:
        """Add results, and yield the sum to print now, if there is one.

        Args:
            kind: results of one kind are summed up.
            number: how many.
            text: formats the number of results.
        """
        now = self._clock()
        found = self._kinds.get(kind)
        if found is not None and not found.kept and now - found.printed_at >= 2 * _STEPS[found.step]:
            del self._kinds[kind]
            found = None
        if found is None:
            self._kinds[kind] = _Kind(text, now)
            yield Sum(number, 0.0, text)
            if len(self._kinds) > _MOST_KINDS:
                _, oldest = self._kinds.popitem(last=False)
                if oldest.kept:
                    yield Sum(oldest.kept, now - oldest.printed_at, oldest.text)
            return
        found.kept += number
        found.text = text
        yield from self.due()

    def due(self) -> Iterator[Sum]:
        """The sums to print now."""
        now = self._clock()
        for found in self._kinds.values():
            if found.kept and now - found.printed_at >= _STEPS[found.step]:
                yield Sum(found.kept, now - found.printed_at, found.text)
                found.kept, found.printed_at = 0, now
                found.step = min(found.step + 1, len(_STEPS) - 1)

    def rest(self) -> Iterator[Sum]:
        """All sums that were not printed, at the end of the run."""
        now = self._clock()
        for found in self._kinds.values():
            if found.kept:
                yield Sum(found.kept, now - found.printed_at, found.text)
        self._kinds.clear()


@dataclass(frozen=True)
class Change:
    """A change to print."""

    outcome: Outcome | None
    """The failure that stops the delivery; None when it goes on."""
    before: Outcome | None
    """The failure of the last line; None when the delivery went on."""
    seconds: float
    """The time since the delivery stopped; when it goes on, the length of the last interruption."""
    short: int
    """Interruptions since the last line that got no line."""


class Interruptions:
    """Follows the interruptions of a run, and limits the lines about them.

    The first changes get a line each. A link that goes on dropping gets one line every ten minutes.

    Args:
        clock: elapsed seconds.
    """

    def __init__(self, clock: _Clock = elapsed) -> None:
        self._clock = clock
        self.outcome: Outcome | None = None
        """The failure that stops the delivery now."""
        self._printed: Outcome | None = None
        self._began: float | None = None
        self._length = 0.0
        self._unprinted = 0
        self._lines = float(_CHANGES_AT_ONCE)
        self._counted_at = clock()

    @property
    def seconds(self) -> float:
        """The time since the delivery stopped; the length of the last interruption while it goes on."""
        return self._length if self._began is None else self._clock() - self._began

    def observe(self, outcome: Outcome | None) -> Change | None:
        """Add the result of a round: the failure that ended it, or None.

        Returns:
            The change to print, if there is one.
        """
        if outcome is not None and self._began is None:
            self._began = self._clock()
            self._unprinted += 1
        elif outcome is None and self._began is not None:
            self._length = self._clock() - self._began
            self._began = None
        self.outcome = outcome
        return self.due()

    def due(self) -> Change | None:
        """The change to print now. Later the same call may return a change that was held back."""
        is_same = _key(self.outcome) == _key(self._printed)
        if is_same and (self.outcome is not None or not self._unprinted):
            return None
        now = self._clock()
        self._lines = min(_CHANGES_AT_ONCE, self._lines + (now - self._counted_at) / _BETWEEN_CHANGES)
        self._counted_at = now
        if self._lines < 1:
            return None
        self._lines -= 1
        # The line of a failure names the present interruption.
        short = max(0, self._unprinted - 1) if self.outcome is not None else self._unprinted
        change = Change(self.outcome, self._printed, self.seconds, short)
        self._unprinted, self._printed = 0, self.outcome
        return change


def _key(outcome: Outcome | None) -> str | None:
    return None if outcome is None else f"{type(outcome).__name__} {same_reason(outcome.reason)}"
