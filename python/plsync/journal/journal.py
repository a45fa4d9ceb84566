"""The journal, opened for reading and for moving records on.

Everything recorded is here, whether or not PromptLayer has it. Reading first takes in what running programs have
written to the spool, so a call that has returned is found.
"""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

from plsync._common.paths import default_journal
from plsync.errors import JournalError, PlsyncWarning
from plsync.journal import acks, following, lookup
from plsync.journal.acks import Ack
from plsync.journal.callbacks import CallbackQueue
from plsync.journal.doorbell import Doorbell
from plsync.journal.filters import Filters, Wanted
from plsync.journal.followups import FollowUpQueue
from plsync.journal.outbox import Outbox
from plsync.journal.record import Record
from plsync.journal.reports import MOST_BYTES, CheckReport, CompactReport, IngestReport, Quota, Receipt, Stats

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from plsync._common.native import Store
    from plsync.track import Tracker

__all__ = ["Journal"]

_PAGE: Final = 100
# Seconds between two looks for what another thread or process does.
_LOOK_EVERY: Final = 0.02
_RECEIPT_STATES: Final = ("acked", "in_doubt", "dead")


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
    def open(cls, path: str | os.PathLike[str] | None = None, *, create: bool = False, force: bool = False) -> Self:
        """The journal at ``path`` (default: ``PLSYNC_JOURNAL``, else the user data directory).

        Raises:
            JournalNotFound: there is none, and ``create`` is false.
            JournalFormatError: the directory is something else, or a newer plsync wrote it.
            JournalError: it cannot be read (permission, disk), or is on a network file system and ``force`` is false.
        """
        from plsync._common.native import Store  # noqa: PLC0415 - importing plsync must not load the native module

        return cls(Store(os.fspath(path if path is not None else default_journal()), create=create, force=force))

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
        self, *, limit: int | None = None, oldest_first: bool = False, **filters: Unpack[Filters]
    ) -> Iterator[Record]:
        """The records that pass every filter (:class:`plsync.journal.filters.Filters`), read a page at a time.

        Args:
            limit: at most so many; ``None`` for all.
            oldest_first: in the order the calls were made; otherwise newest first.
            filters: ``tag, model, state, status, since, until, text, run_id``.

        Raises:
            ValueError: a datetime without time zone, an unknown state or status, a run id that is no UUID, a text with
                half a character.
            TypeError: a filter of another name.
        """
        return self._pages(Wanted.of(filters).query(), limit, oldest_first)

    def _pages(self, query: dict[str, Any], limit: int | None, oldest_first: bool) -> Iterator[Record]:
        self._take_in()
        left = limit
        while left is None or left > 0:
            size = _PAGE if left is None else min(_PAGE, left)
            rows = self._store.query(**query, oldest_first=oldest_first, limit=size)
            yield from map(Record, rows)
            if len(rows) < size:
                return
            query["after" if oldest_first else "before"] = rows[-1].id
            left = None if left is None else left - size

    def get(self, key: str | int | UUID) -> Record:
        """One record, by its id, an abbreviation of it (4 digits or more), a run id, or PromptLayer's request id.

        Raises:
            RecordNotFound: nothing has that id.
            AmbiguousId: more than one record does; the message lists them.
        """
        self._take_in()
        return Record(lookup.find(self._store, key))

    def follow(
        self,
        *,
        after: int | None = None,
        watch: Iterable[Record] = (),
        poll: float = 0.5,
        **filters: Unpack[Filters],
    ) -> Iterator[Record]:
        """Records as they come, without end. A call that was still running comes a second time when it has ended.

        Args:
            after: start behind this ``seq`` (default: :meth:`last_seq` now).
            watch: records read before; those still running come again when they have ended.
            poll: how long to wait between looks, in seconds.
            filters: as for :meth:`records`.

        Raises:
            ValueError, TypeError: as :meth:`records`.
        """
        seq = self.last_seq() if after is None else after
        return following.coming(self._store, self._take_in, Wanted.of(filters), after=seq, watch=watch, poll=poll)

    def last_seq(self) -> int:
        """The ``seq`` of the record taken in last; 0 when there is none."""
        self._take_in()
        return self._store.last_seq()

    def short_id(self, record: Record, *, digits: int = 8) -> str:
        """The shortest beginning of the record's id no other record shares, and at least ``digits`` long."""
        return lookup.abbreviate(record.id, max(digits, self._store.short_id_length(UUID(record.id).bytes)))

    # --- request ids on their way back ---

    def acks(self, since: str | None = None, *, limit: int | None = None, wait: float = 0.0) -> Iterator[Ack]:
        """PromptLayer's request ids in the order they came, each once.

        >>> from plsync import Journal
        >>> with Journal.open(create=True) as journal:
        ...     for ack in journal.acks():
        ...         print(ack.record_id, ack.request_id)

        Args:
            since: the ``cursor`` of an :class:`plsync.journal.acks.Ack`; later ids follow. None: from the first one on.
            limit: at most so many; None for all.
            wait: at the end, wait up to so many seconds for the next; ``math.inf`` goes on for ever. Other processes
                that send are noticed within a second.

        Raises:
            ValueError: ``since`` is no cursor of this journal.
            JournalCorrupt: a stored id is damaged.
        """
        return acks.read(self._store, Doorbell(self.path), since, limit, wait)

    def ack_cursor(self) -> str:
        """The cursor behind the newest ack, for whoever wants only those to come."""
        return acks.end(self._store)

    # --- writing ---

    def append(self, value: Any, *, durability: Literal["process", "power"] = "process") -> str:
        """Record a value that is not an LLM call: bytes unchanged, other values as JSON (``docs/reference/events.md``).

        It takes the way of the handler's events, with the same promise when it returns. It is kept, and never sent.

        Returns:
            The record's id.

        Raises:
            JournalError: it could not be written (disk full, permission); nothing else is affected.
            RecordingError: it has more than 64 MiB.
            TypeError: it is no bytes and can't be encoded.
        """
        from plsync._common.native import Recorder, encode  # noqa: PLC0415 - as in open

        body = value if isinstance(value, bytes) else encode(value)[0]
        return str(UUID(bytes=Recorder(str(self.path), durability).append(body)))

    @property
    def track(self) -> Tracker:
        """Scores, metadata, prompt links and groups for requests of this journal, as :mod:`plsync.track` takes them.

        >>> with Journal.open(create=True) as journal:
        ...     journal.track.score(4711, 90)
        True
        """
        from plsync.track import Tracker  # noqa: PLC0415 - it needs this module

        return Tracker(self)

    # --- the journal itself ---

    def flush(self, *, wait: Literal["disk", "acked"] = "disk", timeout: float | None = None) -> Receipt:
        """Bring everything written so far, by any process, safely to disk, and say how far the records have got.

        Args:
            wait: ``"acked"`` waits until every record written so far has its request id, or is dead or held. Somebody
                has to send: ``plsync run``, or a handler with ``sync="thread"``.
            timeout: for how many seconds, at most; None waits for as long as it takes.

        Returns:
            The receipt, also when the time is over: compare :attr:`Receipt.waiting` with 0.

        Raises:
            JournalError: the disk would not take it (full, failing). Events stay in the spool.
        """
        self.ingest(wait=True)
        if wait == "acked":
            self._wait_until_settled(self._store.last_seq(), timeout)
        found = self._store.stats()
        states = found["states"]
        waiting = states["pending"] - found["open"] + states["leased"] + states["in_doubt"]
        return Receipt(journaled=found["records"], waiting=waiting, **{name: states[name] for name in _RECEIPT_STATES})

    def _wait_until_settled(self, seq: int, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._store.is_unsettled(seq) and (deadline is None or time.monotonic() < deadline):
            time.sleep(_LOOK_EVERY)

    def stats(self) -> Stats:
        """The journal in numbers."""
        self._take_in()
        return Stats.from_dict(self._store.stats(), self.callbacks.waiting())

    def quota(self) -> Quota:
        """How much the journal may hold."""
        return Quota.from_dict(self._store.quota())

    def set_quota(self, quota: Quota) -> None:
        """Limit what the journal holds. It is kept with the journal, and enforced whenever events are taken in.

        A record that has to go keeps its id, tags, state and request id, and loses its content (:attr:`Record.pruned`).

        Raises:
            ValueError: a negative limit, more bytes than ``MOST_BYTES``, or a policy of another name than those of
                ``Quota``.
        """
        age = None if quota.max_age is None else quota.max_age // timedelta(milliseconds=1)
        if min(quota.max_bytes or 0, age or 0) < 0:
            raise ValueError("a quota's limits are not negative; None stands for no limit")
        if (quota.max_bytes or 0) > MOST_BYTES:
            raise ValueError(f"a quota's limit is at most {MOST_BYTES} bytes; None stands for no limit")
        self._store.set_quota(quota.max_bytes, age, quota.policy)

    def compact(self) -> CompactReport:
        """Enforce the quota, and give the space of what was removed back to the file system.

        Recording goes on meanwhile; everything else that writes waits. Needs room for a copy of what is kept.

        Raises:
            JournalError: there is no room for the copy; the journal is as it was.
        """
        return CompactReport(**self._store.compact())

    def check(self) -> CheckReport:
        """Verify every frame of the spool and every record against its checksum. Changes nothing."""
        return CheckReport.from_dict(self._store.check())

    def ingest(self, *, wait: bool = False) -> IngestReport:
        """Take in what programs have written; with ``wait``, also when another process is doing so right now."""
        return IngestReport.from_dict(self._store.ingest(wait=wait))

    def _take_in(self) -> None:
        store = self._store
        # A full disk must not keep anyone from looking at what is there.
        try:
            store.ingest(wait=True)
        except JournalError as error:
            message = f"the newest events could not be taken in and stay in the spool: {error}"
            warnings.warn(message, PlsyncWarning, stacklevel=3)

    # --- on the way to PromptLayer and back ---

    @property
    def outbox(self) -> Outbox:
        """The records that wait to be sent."""
        return Outbox(self, self._store)

    @property
    def followups(self) -> FollowUpQueue:
        """Scores, metadata, prompt links and groups that wait in this journal."""
        return FollowUpQueue(self, self._store)

    @property
    def callbacks(self) -> CallbackQueue:
        """The request ids that wait for a ``pl_id_callback``."""
        from plsync._common.native import CallbackQueue as Native  # noqa: PLC0415 - as in open

        return CallbackQueue(Native(self._store))

    def doorbell(self) -> None:
        """Tell programs that wait for request ids that there may be some; an ack does."""
        Doorbell(self.path).ring()
