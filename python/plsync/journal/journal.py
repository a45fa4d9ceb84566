"""The journal: the durable store of every recorded call, whether or not PromptLayer has received it."""

from __future__ import annotations

import os
import time
from collections.abc import Sized
from typing import TYPE_CHECKING, Any, Final, Literal
from uuid import UUID

from plsync._common import native
from plsync._common.paths import default_journal
from plsync.errors import JournalError, RecordNotFound
from plsync.journal.callbacks import CallbackQueue
from plsync.journal.disk import is_full_disk
from plsync.journal.doorbell import Doorbell
from plsync.journal.filters import Filters
from plsync.journal.followups import FollowUpQueue
from plsync.journal.forget import ForgetReceipt, chosen_ids, forget, whole_trees
from plsync.journal.outbox import Outbox
from plsync.journal.quota import Quota
from plsync.journal.reader import JournalReader
from plsync.journal.reports import BackupReport, CheckReport, CompactReport, IngestReport, Receipt, Stats
from plsync.journal.sharing import ShareReport, share
from plsync.journal.targets import writing_to
from plsync.journal.tracker import Tracker

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from plsync.journal.bundles import Bundles

__all__ = ["Journal"]

# Seconds between two polls for the work of another thread or process.
_POLL: Final = 0.02


class Journal(JournalReader):
    """An open journal.

    >>> from plsync import Journal
    >>> with Journal.open(create=True) as journal:
    ...     for record in journal.records(tag="gpt4all", limit=10):
    ...         print(record.id, record.status, record.request_id)
    """

    # --- writing ---

    def append(self, value: Any, *, durability: Literal["process", "power"] = "process") -> str:
        """Record a value that is not an LLM call. The journal keeps the value, and it is never sent.

        Args:
            value: bytes, kept unchanged, or any value that ``docs/reference/events.md`` can encode as JSON.
            durability: ``"process"``: the value survives the death of the process. ``"power"``: it is on disk.

        Returns:
            The record's id.

        Raises:
            JournalError: the value could not be written (disk full, permission). The journal is unchanged.
            RecordingError: the value has more than 64 MiB.
            TypeError: the value cannot be encoded.
        """
        body = value if isinstance(value, bytes) else native.encode(value)[0]
        return str(UUID(bytes=native.Recorder(str(self.path), durability).append(body)))

    def flush(self, *, wait: Literal["disk", "acked"] = "disk", timeout: float | None = None) -> Receipt:
        """Bring every event written before, by any process, safely to disk.

        Args:
            wait: ``"acked"`` also waits until every record written before is acked, dead or held. A sender must run:
                ``plsync run``, or a handler with ``sync="thread"``.
            timeout: the longest wait in seconds; None waits without end.

        Returns:
            The receipt, also after a timeout: compare :attr:`Receipt.waiting` with 0.

        Raises:
            JournalError: the disk is full or fails. The events stay in the spool.
        """
        self.ingest(wait=True)
        if wait == "acked":
            self._wait_until_settled(self._store.last_seq(), timeout)
        return Receipt.from_stats(self._store.stats())

    def _wait_until_settled(self, seq: int, timeout: float | None) -> None:
        deadline = None if timeout is None else time.monotonic() + timeout
        while self._store.is_unsettled(seq) and (deadline is None or time.monotonic() < deadline):
            time.sleep(_POLL)

    def ingest(self, *, wait: bool = False, largest: int | None = None) -> IngestReport:
        """Move the events of the spool into the store.

        Args:
            wait: while another process ingests, wait for it and then ingest. False: return at once instead.
            largest: leave an event of more bytes, and all events after it, in the spool. An ingest takes twice the
                memory of the largest event. None for no limit.
        """
        return IngestReport.from_dict(self._store.ingest(wait=wait, largest=largest))

    # --- maintenance ---

    def stats(self) -> Stats:
        """The journal in numbers."""
        # The numbers of a read-only journal include the events that wait.
        if not self._store.read_only:
            self._ingest_or_warn()
        return Stats.from_dict(self._store.stats(), self.callbacks.waiting())

    def quota(self) -> Quota:
        """How much the journal may hold."""
        return Quota.from_dict(self._store.quota())

    def set_quota(self, quota: Quota) -> None:
        """Limit the size of the journal. The quota is stored in the journal, and enforced by every ingest.

        A pruned record keeps its id, tags, state and request id, and loses its content (:attr:`Record.pruned`).

        Raises:
            ValueError: a negative limit, more bytes than :data:`plsync.journal.quota.MAX_BYTES`, or an unknown policy.
        """
        self._store.set_quota(*quota.limits(), quota.policy)

    def compact(self) -> CompactReport:
        """Enforce the quota, and return free space to the file system.

        Recording continues meanwhile; every other writer waits. Without room for a copy of the kept records, the free
        space is returned inside the file (:attr:`CompactReport.in_place`).

        Raises:
            JournalError: there is no room for the copy, and the file system returns no part of a file. All kept
                records are unchanged.
        """
        return CompactReport(**self._store.compact())

    def backup(self, target: str | os.PathLike[str]) -> BackupReport:
        """Write a whole copy of the journal, while programs record and send.

        The copy has every event that was recorded before the call. It is an ordinary journal: to restore it, use its
        directory in place of the old one. It is checked before it gets its name, and has mode 0700.

        >>> import tempfile
        >>> from plsync import Journal
        >>> with Journal.open(create=True) as journal:
        ...     report = journal.backup(tempfile.mkdtemp())
        >>> report.ok
        True

        Args:
            target: the directory of the copy: missing, or empty.

        Raises:
            JournalFormatError: the directory exists and is not empty.
            JournalLocked: another process makes a backup there.
            JournalError: the disk has too little space, or the copy failed. No copy is left.
        """
        directory = os.path.abspath(os.fspath(target))
        with writing_to(directory):
            return BackupReport.from_dict(self._store.backup(directory), directory)

    @staticmethod
    def share(path: str | os.PathLike[str] | None = None, *, group: str | int | None) -> ShareReport:
        """Share a journal with a group, so that several users record, send and read.

        Makes the journal if there is none, and repairs the groups and modes of a shared one. Programs that have the
        journal open must be restarted. Only Linux has shared journals.

        >>> import os
        >>> from plsync import Journal
        >>> Journal.share("./shared", group=os.getgid()).previous is None
        True
        >>> Journal.share("./shared", group=None).group is None
        True

        Args:
            path: its directory. Default: ``PLSYNC_JOURNAL``, else the user data directory.
            group: the name or the number of the group. None makes the journal private.

        Raises:
            ValueError: there is no such group.
            JournalError: this user is neither root nor the owner of all files that must change, or is no member of
                the group. Nothing was changed then.
            JournalFormatError: the directory is not a journal, or a newer plsync wrote it.
            JournalNotFound: there is no journal to make private.
        """
        return share(default_journal() if path is None else path, group)

    def forget(self, *keys: str | int | UUID, dry_run: bool = False, **filters: Unpack[Filters]) -> ForgetReceipt:
        """Remove the content of records for good, from every file of the journal.

        A forgotten record keeps its id, its state and its request id, and is never sent or delivered. Its follow-ups
        and callbacks are removed. The other records of its tree are forgotten, too: they repeat its content. The
        store is compacted, so the disk needs room for a copy of it. A full disk gets the space of the removed content
        back first, and the receipt's ``waiting`` names the work that is left. A call that was interrupted is finished
        by the next one, and by :meth:`compact`.

        >>> from plsync import Journal
        >>> with Journal.open(create=True) as journal:
        ...     receipt = journal.forget(tag="customer-17")
        >>> receipt.records, receipt.waiting
        ([], [])

        Args:
            keys: records, by ids as for :meth:`get`. A request id without a record names its follow-ups.
            dry_run: remove nothing, and return the records that would be forgotten.
            filters: instead of keys, the filters of :meth:`records`.

        Raises:
            ValueError: neither keys nor filters, or both, or an empty filter; else as :meth:`records`.
            RecordNotFound: no record has a key.
            AmbiguousId: several records have a key.
            JournalError: the journal cannot be read or written.
        """
        if bool(keys) == any(filters.values()):
            raise ValueError("pass ids or filters, and not both; nothing was removed")
        if empty := [name for name, value in filters.items() if isinstance(value, Sized) and not len(value)]:
            # Other methods take some empty filters for no filter.
            raise ValueError(f"the filter {empty[0]} is empty; nothing was removed")
        full = self._ingest_unless_full()
        if keys:
            try:
                records, requests = chosen_ids(self._store, keys)
            except RecordNotFound as missing:
                # The record may be in the spool.
                raise full or missing from None
        else:
            filters["runs"] = True
            records = [UUID(record.id).bytes for record in self.records(**filters) if not record.forgotten]
            requests = []
        return forget(self._store, whole_trees(self._store, records), requests, dry_run=dry_run, whole=full is None)

    def _ingest_unless_full(self) -> JournalError | None:
        """Ingest the spool. Returns the error of a full disk, on which some events stay in the spool."""
        try:
            self.ingest(wait=True)
        except JournalError as error:
            if not is_full_disk(error):
                raise
            return error
        return None

    def check(self) -> CheckReport:
        """Verify the checksums of every frame of the spool and of every record. Changes nothing."""
        return CheckReport.from_dict(self._store.check())

    # --- queues ---

    @property
    def outbox(self) -> Outbox:
        """The records that wait to be sent."""
        return Outbox(self._store, Doorbell(self.path))

    @property
    def bundles(self) -> Bundles:
        """The records that bundles carry to a hub, and the log of a hub for its origin."""
        # Few programs use it, and each import costs the programs that record.
        from plsync.journal.bundles import Bundles  # noqa: PLC0415

        return Bundles(self._store)

    @property
    def followups(self) -> FollowUpQueue:
        """The scores, metadata, prompt links and groups that wait in this journal."""
        return FollowUpQueue(self._store, Doorbell(self.path), lambda: self.ingest(wait=True))

    @property
    def track(self) -> Tracker:
        """The functions of :mod:`plsync.track` for this journal.

        >>> from plsync import Journal
        >>> with Journal.open(create=True) as journal:
        ...     journal.track.score(4711, 90)
        True
        """
        return Tracker(self.followups)

    @property
    def callbacks(self) -> CallbackQueue:
        """The request ids that wait for a ``pl_id_callback``."""
        return CallbackQueue(native.CallbackQueue(self._store))

    @property
    def id(self) -> str:
        """The journal's id, 32 hexadecimal digits. A copy of the journal has the same one."""
        return self._store.journal_id()

    def doorbell(self) -> None:
        """Wake the programs that wait for request ids. An ack does this."""
        Doorbell(self.path).ring()
