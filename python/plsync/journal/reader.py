"""The reading half of a journal: opening it, records, acks. :class:`plsync.Journal` adds the other half.

Reading first ingests the events that programs have written to the spool, so it finds every call that has returned.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import UUID

from plsync._common.native import Store
from plsync._common.paths import default_journal
from plsync.errors import JournalError, PlsyncWarning
from plsync.journal import acks, lookup, scan, tail, tree
from plsync.journal.acks import Ack
from plsync.journal.doorbell import Doorbell
from plsync.journal.filters import Filters, Query, model_names
from plsync.journal.overview import Overview
from plsync.journal.pages import is_last
from plsync.journal.plan import Plan
from plsync.journal.record import Record

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from plsync.journal.tree import Run

__all__ = ["JournalReader"]

_PAGE: Final = 100


class JournalReader(Overview):
    """An open journal, for reading. Programs use :class:`plsync.Journal`."""

    def __init__(self, store: Store) -> None:
        """Programs call :meth:`open`."""
        self._opened: Store | None = store
        self._has_warned = False
        self.path = Path(store.path)
        """The journal's directory."""

    @classmethod
    def open(
        cls,
        path: str | os.PathLike[str] | None = None,
        *,
        workspace: str | None = None,
        create: bool = False,
        force: bool = False,
        verify: bool = False,
    ) -> Self:
        """Open a journal.

        If another program has written to the store since plsync did, every page of the store is verified first. That
        takes about a second for each two gigabytes.

        Args:
            path: its directory. Default: ``PLSYNC_JOURNAL``, else the user data directory.
            workspace: opens the journal of this workspace instead: its path in the configuration file, else
                ``journal-NAME`` beside the default journal.
            create: create the journal if there is none.
            force: open it on a network file system, too. Locks may fail there.
            verify: verify every page in any case. A failing disk can change a page without a write.

        Raises:
            JournalNotFound: there is no journal, and ``create`` is false.
            JournalFormatError: the directory is not a journal, or a newer plsync wrote it.
            JournalCorrupt: the store is damaged; ``plsync salvage`` writes its readable records into a new journal.
            JournalError: it cannot be read (permission, disk), or is on a network file system and ``force`` is false.
            ConfigError: ``workspace`` is set, and the configuration file is wrong.
            ValueError: ``path`` and ``workspace`` are both set, or ``workspace`` is no name.
        """
        directory = os.fspath(_directory(path, workspace))
        return cls(Store(directory, create=create, force=force, verify=verify))

    def close(self) -> None:
        """Release the journal. Later calls raise JournalError."""
        self._opened = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Journal {self.path}{'' if self._opened else ' (closed)'}>"

    @property
    def _store(self) -> Store:
        if self._opened is None:
            raise JournalError(f"this Journal of {self.path} is closed; nothing was lost: open it again")
        return self._opened

    @property
    def id(self) -> str:
        """The journal's own id: 32 hex digits."""
        return self._store.journal_id()

    @property
    def group(self) -> int | None:
        """The number of the group that the journal is shared with; None for a private journal."""
        return self._store.group()

    # --- records ---

    def records(
        self, *, limit: int | None = None, oldest_first: bool = False, **filters: Unpack[Filters]
    ) -> Iterator[Record]:
        """The records that pass every filter (:class:`plsync.journal.Filters`), read a page at a time.

        Args:
            limit: the maximum number of records; None for all.
            oldest_first: in the order of the calls; else newest first.
            filters: ``tag, model, state, status, delivery, result, since, until, text, run_id, run, thread, metadata,
                runs, slower``.

        Raises:
            ValueError: a datetime without time zone, an unknown state or status, an invalid run id, or a text with a
                lone surrogate.
            TypeError: an unknown filter.
        """
        return self._pages(Query.from_filters(filters), limit, oldest_first)

    def _pages(self, query: Query, limit: int | None, oldest_first: bool) -> Iterator[Record]:
        self._ingest_or_warn()
        remaining = limit
        plan = Plan.of(query, self._store)
        arguments = plan.arguments
        while remaining is None or remaining > 0:
            size = _PAGE if remaining is None or plan.left else min(_PAGE, remaining)
            rows = self._store.query(**arguments, oldest_first=oldest_first, limit=size)
            found = [Record(row) for row in rows if plan.passes(row)][:remaining]
            yield from found
            if is_last(rows, size):
                return
            arguments["after" if oldest_first else "before"] = rows[-1].id
            remaining = None if remaining is None else remaining - len(found)

    def tree(self, key: str | int | UUID) -> Run:
        """The tree that a run belongs to, as its root: an agent with its chains, tools, retrievers and calls.

        A call outside trees is a separate tree.

        Args:
            key: an id of any run or call of the tree, as for :meth:`get`.

        Raises:
            RecordNotFound, AmbiguousId: as :meth:`get`.
        """
        return tree.read(self._store, self.get(key))

    def trees(
        self, *, limit: int | None = None, oldest_first: bool = False, **filters: Unpack[Filters]
    ) -> Iterator[Run]:
        """The trees whose root passes every filter, as their roots. Calls outside trees are not among them.

        Args:
            limit: the maximum number of trees; None for all.
            oldest_first: in the order of the roots' starts; else newest first.
            filters: as for :meth:`records`.

        Raises:
            ValueError, TypeError: as :meth:`records`.
        """
        query = Query.from_filters(filters)
        self._ingest_or_warn()
        plan = Plan.of(query, self._store)
        arguments = None if query == Query.from_filters({}) else plan.arguments
        return tree.roots(self._store, arguments, plan.passes, oldest_first=oldest_first, limit=limit)

    def interrupted_before(self, record_id: str, thread: str, limit: int) -> list[Record]:
        """The runs of a conversation that wait for a person and started before a record, newest first. Ingests nothing.

        Args:
            record_id: the id of the record.
            thread: the id of the conversation.
            limit: the maximum number of runs.
        """
        plan = Plan.of(Query.from_filters({"status": "interrupted", "runs": True, "thread": thread}), self._store)
        rows = self._store.query(**plan.arguments, before=UUID(record_id).bytes, limit=limit)
        return [Record(row) for row in rows if plan.passes(row)]

    def models(self) -> list[str]:
        """The names of the models in the requests, in the form that the filter ``model`` takes."""
        self._ingest_or_warn()
        return model_names(self._store)

    def scan(self, **filters: Unpack[Filters]) -> Iterator[Record]:
        """The records that pass every filter, oldest first, searched by two threads. Ingests nothing.

        Faster than :meth:`records` when ``text`` is among the filters and the caller stops early.

        Raises:
            ValueError, TypeError: as :meth:`records`.
        """
        plan = Plan.of(Query.from_filters(filters), self._store)
        return (Record(row) for row in scan.oldest_first(self._store, plan.arguments) if plan.passes(row))

    def get(self, key: str | int | UUID) -> Record:
        """One record.

        Args:
            key: its id, the beginning or the end of it (4 digits or more), a run id, or PromptLayer's request id.

        Raises:
            RecordNotFound: no record has that id.
            AmbiguousId: more than one record has it; :attr:`AmbiguousId.candidates` has them.
        """
        self._ingest_or_warn()
        return Record(lookup.find(self._store, key))

    def peek(self, record_id: str, **filters: Unpack[Filters]) -> Record | None:
        """The record with this whole id if it passes every filter, else None. Ingests nothing.

        Raises:
            ValueError: ``record_id`` is not a UUID; else as :meth:`records`.
            TypeError: as :meth:`records`.
        """
        row = self._store.get(UUID(record_id).bytes)
        return Record(row) if row is not None and Query.from_filters(filters).matches(row) else None

    def follow(
        self,
        *,
        after: int | None = None,
        watch: Iterable[Record] = (),
        poll: float = 0.5,
        **filters: Unpack[Filters],
    ) -> Iterator[Record]:
        """New records, without end. A record whose call runs is yielded again when the call ends.

        Args:
            after: start behind this ``seq`` (default: :meth:`last_seq` now).
            watch: records already read whose calls were still running; each is yielded once more when its call ends.
            poll: seconds between two polls.
            filters: as for :meth:`records`.

        Raises:
            ValueError, TypeError: as :meth:`records`.
        """
        seq = self.last_seq() if after is None else after
        query = Query.from_filters(filters)
        return tail.follow(self._store, self._ingest_or_warn, query, after=seq, watch=watch, poll=poll)

    def ingested(self, after: int, **filters: Unpack[Filters]) -> Iterator[Record]:
        """The records with a higher ``seq`` that pass every filter, in the order of ingest.

        Args:
            after: a ``seq``; 0 for all records.
            filters: as for :meth:`records`.

        Raises:
            ValueError, TypeError: as :meth:`records`.
        """
        query = Query.from_filters(filters)
        self._ingest_or_warn()
        return self._ingested(after, query)

    def _ingested(self, after: int, query: Query) -> Iterator[Record]:
        while rows := self._store.follow(after, _PAGE):
            yield from (Record(row) for row in rows if query.matches(row))
            after = rows[-1].seq

    def last_seq(self) -> int:
        """The ``seq`` of the newest record in the store; 0 when there is none."""
        self._ingest_or_warn()
        return self._store.last_seq()

    def short_id(self, record: Record, *, digits: int = 8) -> str:
        """The shortest beginning of a record's id that names only this record, and at least ``digits`` long."""
        return lookup.short_id(self._store, record, digits)

    def _ingest_or_warn(self) -> None:
        store = self._store
        if store.read_only:
            self._warn_of_waiting_events()
            return
        # On a full disk the stored records can still be read.
        try:
            store.ingest(wait=True)
        except JournalError as error:
            message = f"the newest events could not be ingested, and stay in the spool: {error}"
            warnings.warn(message, PlsyncWarning, stacklevel=3)

    def _warn_of_waiting_events(self) -> None:
        """A read-only journal shows only the events that its owner has ingested."""
        waiting = 0 if self._has_warned else self._store.waiting_events()
        self._has_warned = True
        if waiting:
            message = f"{self.path} is read-only: {waiting:,} newer events wait in its spool, and are not shown"
            warnings.warn(message, PlsyncWarning, stacklevel=4)

    # --- acks ---

    def acks(self, since: str | None = None, *, limit: int | None = None, wait: float = 0.0) -> Iterator[Ack]:
        """PromptLayer's request ids in the order of their arrival, each once.

        >>> from plsync import Journal
        >>> with Journal.open(create=True) as journal:
        ...     for ack in journal.acks():
        ...         print(ack.record_id, ack.request_id)

        Args:
            since: the ``cursor`` of an :class:`plsync.journal.Ack`; later ids follow. None: from the first id on.
            limit: the maximum number of ids; None for all.
            wait: how many seconds to wait for the next id at the end; ``math.inf`` waits without end. An id that
                another process stores is noticed within a second.

        Raises:
            ValueError: ``since`` is not a cursor of this journal.
            JournalCorrupt: a stored id is damaged.
        """
        return acks.read(self._store, Doorbell(self.path), since, limit, wait)

    def ack_cursor(self) -> str:
        """The cursor behind the newest ack: :meth:`acks` from it returns later ids only."""
        return acks.last_cursor(self._store)


def _directory(path: str | os.PathLike[str] | None, workspace: str | None) -> str | os.PathLike[str]:
    if workspace is None:
        return default_journal() if path is None else path
    from plsync.config.workspaces import journal_for  # noqa: PLC0415 - only workspaces need the configuration file

    return journal_for(path, workspace)
