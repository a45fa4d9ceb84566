"""The journal, opened for reading and for moving records on.

Everything recorded is here, whether or not PromptLayer has it. Reading first takes in what running programs have
written to the spool, so a call that has returned is found.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from plsync import lookup
from plsync.errors import JournalError, PlsyncWarning
from plsync.paths import default_journal
from plsync.record import STATES, STATUSES, Record, State, Status
from plsync.reports import CheckReport, IngestReport, Receipt, Stats

if TYPE_CHECKING:
    from typing_extensions import Self

    from plsync._native import Store

__all__ = ["Journal"]

_PAGE: Final = 100
_LABEL_MAX: Final = 255


class Journal:
    """An open journal.

    >>> from plsync import Journal
    >>> with Journal.open(create=True) as journal:
    ...     for record in journal.records(tag="gpt4all", limit=10):
    ...         print(record.id, record.status, record.request_id)
    """

    def __init__(self, store: Store) -> None:
        """Wraps an open store; programs call :meth:`open`."""
        self._opened: Store | None = store
        self.path = Path(store.path)

    @classmethod
    def open(cls, path: str | os.PathLike[str] | None = None, *, create: bool = False) -> Self:
        """The journal at ``path`` (default: ``PLSYNC_JOURNAL``, else the user data directory).

        Raises:
            JournalNotFound: there is none, and ``create`` is false.
            JournalFormatError: the directory is something else, or a newer plsync wrote it.
            JournalError: it cannot be read (permission, disk).
        """
        from plsync._native import Store  # noqa: PLC0415 - importing plsync must not load the native module

        return cls(Store(os.fspath(path if path is not None else default_journal()), create=create))

    def close(self) -> None:
        """Let go of the journal. Using it afterwards raises JournalError."""
        self._opened = None

    def __enter__(self) -> Self:
        """The journal itself."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Closes it."""
        self.close()

    def __repr__(self) -> str:
        """Names the directory."""
        return f"<Journal {self.path}{'' if self._opened else ' (closed)'}>"

    @property
    def _store(self) -> Store:
        if self._opened is None:
            raise JournalError(f"this Journal of {self.path} is closed; nothing was lost: open it again to go on")
        return self._opened

    # --- reading ---

    def records(
        self,
        *,
        tag: str | Iterable[str] = (),
        model: str | None = None,
        state: State | Iterable[State] = (),
        status: Status | Iterable[Status] = (),
        since: datetime | None = None,
        until: datetime | None = None,
        text: str | None = None,
        run_id: str | UUID | None = None,
        limit: int | None = None,
        oldest_first: bool = False,
    ) -> Iterator[Record]:
        """The records that match every filter, newest first, read a page at a time.

        Args:
            tag: a tag, or several that must all be there (LangChain's or ``pl_tags``).
            model: a model's whole name; of a model file, its file name.
            state: a sync state, or several of which one must hold.
            status: how the call ended, likewise.
            since: earliest start, inclusive; a datetime with a time zone.
            until: latest start, exclusive.
            text: something the request or the answer contains; case is ignored for ASCII.
            run_id: LangChain's run id.
            limit: at most so many; ``None`` for all.
            oldest_first: in the order the calls were made.

        Raises:
            ValueError: a datetime without time zone, an unknown state or status, a run id that is no UUID.
        """
        labels = [("t", _label(item)) for item in _several(tag)]
        labels += [("m", _label(os.path.basename(model)))] if model else []
        labels += [("r", UUID(str(run_id)).bytes)] if run_id is not None else []
        filters: dict[str, Any] = {
            "labels": labels,
            "states": [_numbers(STATES, name, "state")[0] for name in _several(state)] or None,
            "ended": [number for name in _several(status) for number in _numbers(STATUSES, name, "status")] or None,
            "since": _milliseconds(since),
            "until": _milliseconds(until),
            "text": text,
            "oldest_first": oldest_first,
        }
        return self._pages(filters, "after" if oldest_first else "before", limit)

    def _pages(self, filters: dict[str, Any], cursor: str, limit: int | None) -> Iterator[Record]:
        self._take_in()
        left = limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(_PAGE, left)
            rows = self._store.query(**filters, limit=size)
            yield from map(Record, rows)
            if len(rows) < size:
                return
            filters[cursor] = rows[-1].id
            left = None if left is None else left - size

    def get(self, key: str | int | UUID) -> Record:
        """One record, by its id, an abbreviation of it (4 digits or more), a run id, or PromptLayer's request id.

        Raises:
            RecordNotFound: nothing has that id.
            AmbiguousId: more than one record does; the message lists them.
        """
        self._take_in()
        return Record(lookup.find(self._store, key))

    def follow(self, *, after: int | None = None, poll: float = 0.5) -> Iterator[Record]:
        """Records as they come, without end; ``after`` is a ``seq`` (default: the newest now).

        A call that is running when it is first seen comes a second time when it has ended. ``poll`` is in seconds.
        """
        self._take_in()
        seq = self._store.last_seq() if after is None else after
        running: set[bytes] = set()
        while True:
            for record_id in list(running):
                if (row := self._store.get(record_id)) is None or row.ended:
                    running.discard(record_id)
                    yield from [] if row is None else [Record(row)]
            while rows := self._store.follow(seq, _PAGE):
                for row in rows:
                    seq = row.seq
                    if not row.ended:
                        running.add(row.id)
                    yield Record(row)
            time.sleep(poll)
            self._take_in()

    def short_id(self, record: Record, *, digits: int = 8) -> str:
        """The shortest beginning of the record's id no other record shares, and at least ``digits`` long."""
        return lookup.abbreviate(record.id, max(digits, self._store.short_id_length(UUID(record.id).bytes)))

    # --- the journal itself ---

    def flush(self) -> Receipt:
        """Bring everything written so far, by any process, safely to disk, and say how far the records have got.

        Raises:
            JournalError: the disk would not take it (full, failing). Events stay in the spool.
        """
        self.ingest(wait=True)
        stats = self.stats()
        states = stats.states
        return Receipt(stats.records, states.get("acked", 0), states.get("in_doubt", 0), states.get("dead", 0))

    def stats(self) -> Stats:
        """The journal in numbers, as of the last ingest."""
        return Stats.from_dict(self._store.stats())

    def check(self) -> CheckReport:
        """Verify every frame of the spool and every record against its checksum. Changes nothing."""
        return CheckReport.from_dict(self._store.check())

    def ingest(self, *, wait: bool = False) -> IngestReport:
        """Take in what programs have written; with ``wait``, also when another process is doing so right now."""
        return IngestReport.from_dict(self._store.ingest(wait=wait))

    def _take_in(self) -> None:
        # A full disk must not keep anyone from looking at what is there.
        try:
            self.ingest(wait=True)
        except JournalError as error:
            message = f"the newest events could not be taken in and stay in the spool: {error}"
            warnings.warn(message, PlsyncWarning, stacklevel=3)

    # --- on the way to PromptLayer: each call is one transaction (see ``_native.pyi``) ---

    def lease(self, limit: int, lease_ms: int, now_ms: int, max_bytes: int = 4 << 20) -> list[Record]:
        """Take up to ``limit`` due records for sending: pending becomes leased, for ``lease_ms``."""
        return [Record(row) for row in self._store.lease(limit, lease_ms, now_ms, max_bytes)]

    def expire_leases(self, now_ms: int) -> int:
        """Put what a dead sender had taken up in doubt; how many."""
        return self._store.expire_leases(now_ms)

    def in_doubt(self, limit: int, now_ms: int) -> list[Record]:
        """Records in doubt that are due to be looked up."""
        return [Record(row) for row in self._store.in_doubt(limit, now_ms)]

    def ack(self, acks: Sequence[tuple[int, int]], via: str = "spans-bulk") -> int:
        """Keep PromptLayer's answer, ``[(seq, request_id)]``, and queue the callbacks; how many were new."""
        return self._store.ack(acks, via)

    def release(self, seqs: Sequence[int], not_before: int, error: str) -> None:
        """Make records pending again, due at ``not_before`` (ms since the epoch)."""
        self._store.release(seqs, not_before, error)

    def park(self, seqs: Sequence[int], state: State, error: str, not_before: int = 0) -> None:
        """Put records in doubt, or make them dead or held, with the reason."""
        self._store.park(seqs, STATES.index(state), error, not_before)

    def requeue(self, seqs: Sequence[int]) -> int:
        """Make dead or held records pending, due now; how many."""
        return self._store.requeue(seqs)

    def callback_sinks(self) -> list[str]:
        """Sinks that have callbacks waiting."""
        return self._store.callback_sinks()

    def claim_callbacks(
        self, sinks: Sequence[str], writer: bytes | None, limit: int, lease_ms: int, now_ms: int
    ) -> list[tuple[int, str, Record]]:
        """Due callbacks ``[(seq, sink, record)]`` of these sinks, leased to the caller."""
        claimed = self._store.claim_callbacks(sinks, writer, limit, lease_ms, now_ms)
        return [(seq, sink, Record(row)) for seq, sink, row in claimed]

    def callback_done(self, sink: str, seq: int) -> None:
        """Remove a delivered callback."""
        self._store.callback_done(sink, seq)

    def callback_failed(self, sink: str, seq: int, error: str, not_before: int, dead: bool = False) -> None:
        """Keep a failed callback for another try at ``not_before`` (ms), or for good when ``dead``."""
        self._store.callback_failed(sink, seq, error, not_before, dead)

    def doorbell(self) -> None:
        """Tell programs that wait for callbacks that there may be some."""
        descriptor = os.open(self.path / "doorbell", os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            # Set by hand: the kernel's own stamp is too coarse to tell two rings within a tick apart.
            now = time.time_ns()
            os.utime(descriptor if os.utime in os.supports_fd else self.path / "doorbell", ns=(now, now))
        finally:
            os.close(descriptor)


def _several(value: str | Iterable[str]) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _label(value: str) -> bytes:
    # Labels are stored cut.
    return value.encode("utf-8", "surrogatepass")[:_LABEL_MAX]


def _numbers(names: Sequence[str], name: str, what: str) -> list[int]:
    numbers = [number for number, known in enumerate(names) if known == name]
    if not numbers:
        raise ValueError(f"{name!r} is not a {what}; there are {', '.join(dict.fromkeys(names))}")
    return numbers


def _milliseconds(at: datetime | None) -> int | None:
    if at is None:
        return None
    if at.tzinfo is None:
        raise ValueError(f"{at.isoformat()} has no time zone; give one, e.g. with .astimezone()")
    return int(at.timestamp() * 1000)
