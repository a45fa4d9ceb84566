"""How much goes out in one request: what the link carries in good time, found out by what came of the last ones."""

from __future__ import annotations

from typing import Final

from plsync.promptlayer.outcomes import Ambiguous, Delivered, Outcome

__all__ = ["Pace"]

# Bytes of events. Six such requests at once are answered within the usual 30 s where 8 KB a second get through.
_FIRST: Final = 32 << 10
# Of less the time is no longer that of the bytes.
_LEAST: Final = 16 << 10
_FACTOR: Final = 4
# The part of the timeout within which an answer comes at once: not even sixteen times as much would be late.
_AT_ONCE: Final = 1 / 64
# The part of the timeout within which an answer is so soon that four times as much would not be late.
_SOON: Final = 1 / 8
# So many in a row: of requests that share a slow link one is quick now and then, because the others wait for it.
_IN_A_ROW: Final = 3


class Pace:
    """Bytes of events in one request: few at first, more as long as answers come soon, fewer when they do not come.

    A request that is too large for its link is sent in vain: its answer comes after the timeout, all it brought is in
    doubt, and the next one would fare no better.
    """

    def __init__(self, timeout: float, most: int) -> None:
        """``timeout``: seconds after which an answer is no longer waited for. ``most``: bytes, whatever the link."""
        self._timeout = timeout
        self._most = most
        self.most_bytes = min(_FIRST, most)
        """For the next request."""
        self._soon = 0

    def note(self, size: int, seconds: float, outcome: Outcome) -> None:
        """A request of ``size`` bytes had this outcome after so many seconds.

        >>> from plsync.promptlayer.outcomes import Ambiguous, Delivered
        >>> pace = Pace(timeout=30.0, most=4 << 20)
        >>> for _ in range(3):
        ...     pace.note(30_000, 1.5, Delivered({}))
        >>> pace.most_bytes
        131072
        >>> pace.note(120_000, 0.2, Delivered({}))
        >>> pace.most_bytes
        2097152
        >>> pace.note(2_000_000, 30.0, Ambiguous("timed out"))
        >>> pace.most_bytes
        500000
        """
        if isinstance(outcome, Ambiguous):
            self._soon = 0
            self.most_bytes = max(_LEAST, min(self.most_bytes, size) // _FACTOR)
        elif isinstance(outcome, Delivered) and size * 2 > self.most_bytes:
            self._soon = self._soon + 1 if seconds < self._timeout * _SOON else 0
            if seconds < self._timeout * _AT_ONCE:
                self._grow(_FACTOR * _FACTOR)
            elif self._soon == _IN_A_ROW:
                self._grow(_FACTOR)

    def _grow(self, factor: int) -> None:
        self._soon = 0
        self.most_bytes = min(self._most, self.most_bytes * factor)
