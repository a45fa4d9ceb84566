"""A record: one LLM request as the journal holds it, read.

The facts of the call are in :class:`plsync.journal.call.Call`. A record adds what the store keeps: its ids, and its
state on the way to PromptLayer.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, final

from plsync._common import native
from plsync._common.clock import datetime_from_ms, datetime_from_ns
from plsync._common.native import FLAG_CACHED, FLAG_LOSSY, FLAG_PRUNED, FLAG_REDACTED, FLAG_RENEWED
from plsync.journal.call import STATUSES, Call, Kind, Status
from plsync.journal.events.facts import CallError, Generation, Usage

if TYPE_CHECKING:
    from plsync._common.native import Row

__all__ = ["FIELDS", "STATES", "STATUSES", "CallError", "Generation", "Kind", "Record", "State", "Status", "Usage"]

State = Literal["pending", "leased", "in_doubt", "acked", "dead", "held"]

STATES: Final[tuple[State, ...]] = native.STATES
"""The states; the index of a state is its number in docs/reference/format.md."""
# What is told of a record wherever it goes.
_MARKS: Final = {FLAG_CACHED: "cached", FLAG_LOSSY: "lossy", FLAG_REDACTED: "redacted", FLAG_PRUNED: "pruned"}

FIELDS: Final = (
    *("id", "seq", "run_id", "parent_run_id", "trace_id", "span_id"),
    *(
        "kind",
        "name",
        "class_name",
        "model",
        "provider",
        "status",
        "cached",
        "lossy",
        "redacted",
        "pruned",
        "damage",
        "size",
    ),
    *("input", "output", "tool_calls", "usage", "error", "params", "options", "tags", "metadata"),
    *("started_at", "first_token_at", "ended_at", "started_ns", "ended_ns", "duration_ns", "chunk_times"),
    *("state", "request_id", "acked_at", "due_at", "attempts", "last_error", "lane", "renewed", "sink"),
)
"""The attributes of a record, in the order ``as_dict()`` and ``--json`` give them."""


@final
class Record(Call):
    """One LLM request: its start, its end, and how far it has got on its way to PromptLayer. Read-only.

    Times are aware datetimes in UTC. Values are plain JSON-able Python: messages are dicts of their LangChain fields;
    :meth:`messages` and :meth:`result` give the real objects.
    """

    __slots__ = ()

    @classmethod
    def from_row(cls, row: Row) -> Record:
        """The record of a stored row, or of anything with a row's attributes."""
        return cls(row)

    def __repr__(self) -> str:
        """Names the record without its content: prompts do not belong in logs."""
        return f"<Record {self.id} {self.kind} {self.status} {self.state}>"

    def __eq__(self, other: object) -> bool:
        """Equal when stored alike: same id, same events, same place on the way."""
        return self._key() == other._key() if isinstance(other, Record) else NotImplemented

    def __hash__(self) -> int:
        """By id."""
        return hash(self._row.id)

    # --- identity ---

    @property
    def id(self) -> str:
        """The record's own id: UUIDv7 text."""
        digits = self._row.id.hex()
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    @property
    def seq(self) -> int:
        """Dense number, in the order the journal took records in."""
        return self._row.seq

    @property
    def trace_id(self) -> str:
        """32 hex digits: the id itself, so that a resend carries the same trace."""
        return self._sent_id().hex()

    @property
    def span_id(self) -> str:
        """16 hex digits: the low 64 bits of the trace id."""
        return self._sent_id()[8:].hex()

    # --- its way to PromptLayer ---

    @property
    def state(self) -> State:
        """Where the record is on its way to PromptLayer."""
        return STATES[self._row.state]

    @property
    def request_id(self) -> int | None:
        """PromptLayer's id, once acked."""
        return self._row.request_id

    @property
    def acked_at(self) -> datetime | None:
        """When the id came back."""
        return None if (at := self._row.acked_at) is None else datetime_from_ns(at)

    @property
    def due_at(self) -> datetime | None:
        """When a waiting record is next due."""
        return None if (at := self._row.not_before) is None else datetime_from_ms(at)

    @property
    def attempts(self) -> int:
        """How often it was taken up for sending."""
        return self._row.attempts

    @property
    def last_error(self) -> str | None:
        """What the last attempt met."""
        return self._row.last_error

    @property
    def lane(self) -> int:
        """Records of one lane are sent in order: those of one conversation, else of one run; 0 keeps no order."""
        return self._row.lane

    @property
    def pruned(self) -> bool:
        """Whether the journal's quota removed the content; ids, times of the store, state and request id are kept."""
        return bool(self._row.flags & FLAG_PRUNED)

    def marks(self) -> list[str]:
        """Which of ``cached``, ``lossy``, ``redacted`` and ``pruned`` it is."""
        flags = self._row.flags
        return [mark for bit, mark in _MARKS.items() if flags & bit] if flags else []

    @property
    def renewed(self) -> bool:
        """Sent under other ids, because PromptLayer stored its first span without a request log."""
        return bool(self._row.flags & FLAG_RENEWED)

    def put_off_ms(self) -> int:
        """For how long it was put off when its state last changed, in ms."""
        return max(0, (self._row.not_before or 0) - self._row.changed_at)

    @property
    def sink(self) -> str | None:
        """Where its callback is delivered, e.g. ``module:function``."""
        return self._row.sink

    # --- as other things ---

    def as_dict(self) -> dict[str, Any]:
        """Every attribute under its own name, JSON-able; times as ISO 8601 text."""
        values = {name: getattr(self, name) for name in FIELDS}
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}

    def _sent_id(self) -> bytes:
        """The id it goes by at PromptLayer: another one where the first has a span and will have no log (format.md)."""
        own = self._row.id
        return own[:8] + bytes(byte ^ 0xFF for byte in own[8:]) if self.renewed else own

    def _key(self) -> tuple[object, ...]:
        row = self._row
        return (row.id, row.state, row.ended, row.flags, row.attempts, row.request_id, row.start, row.end)
