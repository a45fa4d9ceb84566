"""Records that went out in vain: one of them may be why, and must not keep the others from arriving."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from plsync.promptlayer.outcomes import Ambiguous, Delivered, Outcome, Rejected

if TYPE_CHECKING:
    from plsync.journal.record import Record

__all__ = ["Suspects"]

_FACTOR: Final = 4
# Rests of a record that fails by itself: settle, and twice as long each time up to eight times that.
_MOST_DOUBLED: Final = 3
# Those that were found when they were looked up are never taken out. To forget costs a few requests.
_MOST: Final = 20_000

T = TypeVar("T")


class Suspects:
    """What is known of records that got no clear answer, as long as the process lives.

    One thread notes; any thread may ask.
    """

    def __init__(self) -> None:
        """Nobody is suspected."""
        self._together: dict[int, int] = {}
        self._alone: dict[int, int] = {}

    def note(self, records: Sequence[Record], outcome: Outcome) -> None:
        """These went out in one request, which had this outcome."""
        if isinstance(outcome, Ambiguous):
            if len(self._together) > _MOST:
                self._together.clear()
                self._alone.clear()
            self._together.update((record.seq, max(1, len(records) // _FACTOR)) for record in records)
            if len(records) == 1:
                self._alone[records[0].seq] = self._alone.get(records[0].seq, 0) + 1
        elif isinstance(outcome, Delivered | Rejected):
            for record in records:
                self._together.pop(record.seq, None)
                self._alone.pop(record.seq, None)

    def apart(self, batch: Sequence[tuple[Record, T]]) -> list[list[tuple[Record, T]]]:
        """A batch in parts: whoever was in a request in vain shares the next with a quarter as many.

        Who has failed by itself, and need not keep its order, comes last.
        """
        parts: list[list[tuple[Record, T]]] = []
        room = 0
        for record, body in sorted(batch, key=lambda pair: pair[0].lane == 0 and self.failed_alone(pair[0])):
            most = self._together.get(record.seq, len(batch))
            room = min(room, most - len(parts[-1])) if parts else 0
            if room <= 0:
                parts.append([])
                room = most
            parts[-1].append((record, body))
            room -= 1
        return parts

    def failed_alone(self, record: Record) -> bool:
        """Whether it got no clear answer though nothing else was in its request."""
        return record.seq in self._alone

    def rests(self, records: Sequence[Record]) -> int:
        """How many times as long as others these rest before they are looked up, when they have failed again."""
        alone = self._alone.get(records[0].seq, 0) if len(records) == 1 else 0
        return 1 << min(max(alone - 1, 0), _MOST_DOUBLED)
