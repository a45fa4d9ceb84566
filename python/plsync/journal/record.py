"""A record: one LLM request in the journal.

:class:`plsync.journal.call.CallEvents` has the facts of the call. A record adds its ids, and its state on the way to
PromptLayer.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal, final

from plsync._common import native
from plsync._common.clock import datetime_from_ms, datetime_from_ns
from plsync._common.native import (
    FLAG_CACHED,
    FLAG_FORGOTTEN,
    FLAG_LOSSY,
    FLAG_PRUNED,
    FLAG_REDACTED,
    FLAG_RENEWED,
)
from plsync.journal.call import STATUSES, CallEvents, CallKind, RunKind, Status
from plsync.journal.events.facts import CallError, Generation, Usage

if TYPE_CHECKING:
    from plsync._common.native import Row

__all__ = [
    "FIELDS",
    "STATES",
    "STATUSES",
    "CallError",
    "CallKind",
    "Generation",
    "Record",
    "RunKind",
    "State",
    "Status",
    "Usage",
]

State = Literal["pending", "leased", "in_doubt", "acked", "dead", "held", "carried", "received"]

STATES: Final[tuple[State, ...]] = native.STATES
"""The states; the index of a stored state is its number in docs/reference/format.md.

A record that is carried or received is stored as in doubt, with a due time that never comes.
"""
_MARKS: Final = {
    FLAG_CACHED: "cached",
    FLAG_LOSSY: "lossy",
    FLAG_REDACTED: "redacted",
    FLAG_PRUNED: "pruned",
    FLAG_FORGOTTEN: "forgotten",
}

FIELDS: Final = (
    "id",
    "seq",
    "run_id",
    "parent_run_id",
    "trace_id",
    "span_id",
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
    "forgotten",
    "damage",
    "size",
    "input",
    "output",
    "tool_calls",
    "usage",
    "error",
    "params",
    "options",
    "tags",
    "metadata",
    "started_at",
    "first_token_at",
    "ended_at",
    "started_ns",
    "ended_ns",
    "duration_ns",
    "chunk_times",
    "state",
    "request_id",
    "server",
    "server_id",
    "acked_at",
    "due_at",
    "attempts",
    "last_error",
    "lane",
    "renewed",
    "sink",
    "is_run",
    "root_id",
    "parent_id",
    "started_after",
)
"""The attributes of a record, in the order of ``as_dict()`` and ``--json``."""


@final
class Record(CallEvents):
    """One LLM request: its start, its end, and its state on the way to PromptLayer. Read-only.

    Times are datetimes in UTC. Values are plain JSON-able Python: a message is the dict of its LangChain fields.
    :meth:`messages` and :meth:`result` return LangChain's objects.

    >>> from langchain_core.language_models import FakeListLLM
    >>> from plsync import Journal, PromptLayerCallbackHandler
    >>> model = FakeListLLM(responses=["Paris"], callbacks=[PromptLayerCallbackHandler()])
    >>> model.invoke("The capital of France?")
    'Paris'
    >>> with Journal.open() as journal:
    ...     record = next(journal.records())
    >>> record.status, record.input, record.output[0]["text"]
    ('ok', ['The capital of France?'], 'Paris')
    """

    __slots__ = ()

    @classmethod
    def from_row(cls, row: Row) -> Record:
        """The record of a stored row, or of another object with a row's attributes."""
        return cls(row)

    def __repr__(self) -> str:
        # Without content: prompts do not belong in logs.
        return f"<Record {self.id} {self.kind} {self.status} {self.state}>"

    def _repr_html_(self) -> str:
        """The record as a page of a notebook, with its content."""
        from plsync.journal.display.html import notebook_page  # noqa: PLC0415 - only notebooks need it

        return notebook_page(self)

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Record) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._row.id)

    # --- identity ---

    def stored_row(self) -> Row:
        """The stored row, for the native module."""
        return self._row

    @property
    def id(self) -> str:
        """The record's id: a UUIDv7 as text."""
        digits = self._row.id.hex()
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"

    @property
    def seq(self) -> int:
        """The number of the record in the journal, from 1 without gaps, in the order of ingest."""
        return self._row.seq

    @property
    def trace_id(self) -> str:
        """32 hex digits: the id of the tree's root without hyphens, the same for a resend.

        A record outside of trees has the digits of its id. So has a renewed record, with other digits at the end.
        """
        root = self.root_id if self.in_tree() else None
        return self._sent_id().hex() if root is None else root.replace("-", "")

    def in_tree(self) -> bool:
        """Whether its trace is the trace of a tree."""
        return not self.renewed and self.root_id is not None

    @property
    def span_id(self) -> str:
        """16 hex digits: the low 64 bits of the id."""
        return self._sent_id()[8:].hex()

    # --- delivery ---

    @property
    def state(self) -> State:
        """The state of the record on the way to PromptLayer."""
        return STATES[self._row.state]

    @property
    def request_id(self) -> int | None:
        """PromptLayer's request id; None until the record is acked."""
        return self._row.request_id

    @property
    def server(self) -> str | None:
        """The base URL of the server that sent the request id; of a record in doubt, the server that it was sent to.

        None before that, and for request ids that an earlier version of plsync stored.
        """
        return self._row.server

    @property
    def server_id(self) -> int | None:
        """The number of that server in the journal; None if it is unknown."""
        return self._row.server_id

    @property
    def acked_at(self) -> datetime | None:
        """When the request id arrived."""
        return None if (at := self._row.acked_at_ns) is None else datetime_from_ns(at)

    @property
    def due_at(self) -> datetime | None:
        """When a record that waits is due."""
        return None if (at := self._row.not_before) is None else datetime_from_ms(at)

    @property
    def attempts(self) -> int:
        """How often it was leased for sending."""
        return self._row.attempts

    @property
    def last_error(self) -> str | None:
        """Why the last attempt failed."""
        return self._row.last_error

    @property
    def lane(self) -> int:
        """The lane: its records, of one conversation or run, are sent in order. 0 keeps no order."""
        return self._row.lane

    @property
    def pruned(self) -> bool:
        """Whether the journal's quota removed the content. Ids, times of the store, state and request id are kept."""
        return self._row.flags & (FLAG_PRUNED | FLAG_FORGOTTEN) == FLAG_PRUNED

    @property
    def forgotten(self) -> bool:
        """Whether ``plsync forget`` removed the content. Ids, times of the store, state and request id are kept."""
        return bool(self._row.flags & FLAG_FORGOTTEN)

    def marks(self) -> list[str]:
        """The names of the true marks among ``cached``, ``lossy``, ``redacted``, ``pruned`` and ``forgotten``."""
        flags = self._row.flags
        if flags & FLAG_FORGOTTEN:
            flags &= ~FLAG_PRUNED
        return [mark for bit, mark in _MARKS.items() if flags & bit] if flags else []

    @property
    def renewed(self) -> bool:
        """Sent under other ids, because PromptLayer stored its first span without a request log."""
        return bool(self._row.flags & FLAG_RENEWED)

    def backoff_ms(self) -> int:
        """The wait that its last change of state set, in ms."""
        return max(0, (self._row.not_before or 0) - self._row.changed_at_ms)

    @property
    def sink(self) -> str | None:
        """The sink that receives its request id, e.g. ``module:function``; None without a callback."""
        return self._row.sink

    # --- conversions ---

    def version(self) -> tuple[bytes, int, int, int, int]:
        """The id and the numbers that change after the start: state, end, flags and request id (0 without one)."""
        row = self._row
        return row.id, row.state, row.ended, row.flags, row.request_id or 0

    def as_dict(self) -> dict[str, Any]:
        """Every attribute under its name, JSON-able; times as ISO 8601 text."""
        values = {name: getattr(self, name) for name in FIELDS}
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}

    def _sent_id(self) -> bytes:
        """The id that PromptLayer receives. A renewed record has another one (docs/reference/format.md)."""
        own = self._row.id
        return own[:8] + bytes(byte ^ 0xFF for byte in own[8:]) if self.renewed else own

    def _key(self) -> tuple[object, ...]:
        row = self._row
        return (row.id, row.state, row.ended, row.flags, row.attempts, row.request_id, row.start, row.end)
