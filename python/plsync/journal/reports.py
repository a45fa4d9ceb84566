"""Reports of the journal: receipts, statistics, results of a check.

The native store returns each report as a dict with the fields of its dataclass (rust/python/src/store/report.rs).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final

from plsync._common.clock import datetime_from_ms
from plsync.journal.quota import Quota
from plsync.journal.servers import LastRun, Server

__all__ = [
    "BackupReport",
    "CheckReport",
    "CompactReport",
    "Damage",
    "IngestReport",
    "Problem",
    "Receipt",
    "SalvageReport",
    "SinkBacklog",
    "SkippedFile",
    "Spool",
    "Stats",
    "Writer",
]

_RECEIPT_STATES: Final = ("acked", "in_doubt", "dead")


@dataclass(frozen=True, slots=True)
class Receipt:
    """The result of ``Journal.flush()``: how many records of the journal are on disk, and in which states."""

    journaled: int
    """Records in the journal, safe on disk."""
    acked: int
    """Of these records, those with a request id of PromptLayer."""
    in_doubt: int
    """Records that were sent without a clear response. They are looked up before they are sent again."""
    dead: int
    """Records that PromptLayer refused. They are kept, and sent again only after a requeue."""
    waiting: int
    """Records of ended calls that this machine is still to deliver, those in doubt included."""
    carried: int = 0
    """Records that bundles carried to a hub, which delivers them. No flush waits for them."""

    @classmethod
    def from_stats(cls, found: dict[str, Any]) -> Receipt:
        """The receipt of the store's statistics."""
        states = found["states"]
        waiting = states["pending"] - found["open"] + states["leased"] + states["in_doubt"]
        carried = states["carried"] + states["received"]
        counted = {name: states[name] for name in _RECEIPT_STATES}
        return cls(journaled=found["records"], waiting=waiting, carried=carried, **counted)


@dataclass(frozen=True, slots=True)
class Damage:
    """A part of a spool segment that could not be read."""

    segment: str
    offset: int
    """In bytes."""
    reason: str


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file of the spool that cannot be used. The other files are."""

    name: str
    reason: str
    """The kind of the file, or its owner."""


@dataclass(frozen=True, slots=True)
class IngestReport:
    """The result of moving events from the spool into the store."""

    ran: bool
    """False when another process was ingesting and this process did not wait."""
    frames: int = 0
    records: int = 0
    duplicates: int = 0
    forgotten: int = 0
    abandoned: int = 0
    segments_removed: int = 0
    pruned: int = 0
    """Acked records whose content the quota removed."""
    dropped: int = 0
    """Records that were never sent, and whose content the quota removed."""
    damage: list[Damage] = field(default_factory=list)
    skipped: list[SkippedFile] = field(default_factory=list)

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> IngestReport:
        """The report of the store's dict."""
        skipped = [SkippedFile(**item) for item in found["skipped"]]
        return cls(**found | {"damage": [Damage(**item) for item in found["damage"]], "skipped": skipped})


@dataclass(frozen=True, slots=True)
class Spool:
    """The segments that hold events until an ingest."""

    segments: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Writer:
    """A process that writes, or wrote, into the journal."""

    writer: str
    """The writer id: 32 hex digits."""
    pid: int
    started_ms: int
    """When it began to write, in ms since the epoch."""
    alive: bool
    failures: int
    """Events that it could not record."""
    events: int


@dataclass(frozen=True, slots=True)
class CompactReport:
    """The result of a compaction."""

    before: int
    """Bytes of the store's file before."""
    after: int
    """Bytes of the store's file afterwards."""
    pruned: int
    """Acked records whose content the quota removed."""
    dropped: int
    """Records that were never sent, and whose content the quota removed."""
    in_place: bool = False
    """The disk had no room for a copy, so the free space was returned inside the file. ``before`` and ``after`` then
    count the file's disk space."""

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class BackupReport:
    """The result of a backup."""

    backup: str
    """The directory of the copy."""
    records: int
    """Records in the copy."""
    events: int
    """Events of these records."""
    bytes: int
    """Bytes of the copy."""
    segments: int
    """Segments of the spool in the copy, whose events were not ingested."""
    digest: str
    """A hash of all entries of the store, which is the same for the journal and the copy."""
    skipped: list[SkippedFile]
    """Files of the spool that could not be read. The copy has no event of these files."""
    problems: list[Problem]
    """The damage that the check of the copy found: the journal has it, too."""

    @classmethod
    def from_dict(cls, found: dict[str, Any], target: str) -> BackupReport:
        """The report of the store's dict."""
        check = CheckReport.from_dict(found["check"])
        return cls(
            backup=target,
            records=check.records,
            events=check.events,
            bytes=found["bytes"],
            segments=found["segments"],
            digest=found["digest"],
            skipped=[SkippedFile(**item) for item in found["skipped"]],
            problems=check.problems,
        )

    @property
    def ok(self) -> bool:
        """Whether the copy is whole and undamaged."""
        return not (self.skipped or self.problems)

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able, and ``ok``."""
        return asdict(self) | {"ok": self.ok}


@dataclass(frozen=True, slots=True)
class SalvageReport:
    """The result of a salvage."""

    records: int
    """Records in the new journal."""
    events: int
    """Events read from the damaged store."""
    acks: int
    """Request ids read from the damaged store."""
    callbacks: int
    """Callbacks that wait."""
    followups: int
    """Follow-ups that wait, or that PromptLayer refused."""
    followups_sent: int
    """Follow-ups that were sent."""
    frames: int
    """Events read from the spool that the store did not have."""
    damaged: int
    """Pages and entries of the store that could not be read. Their content may exist elsewhere."""
    lost: int
    """How many losses there are."""
    losses: list[str]
    """One line a loss; of very many, the first."""

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SinkBacklog:
    """The request ids that wait for one sink."""

    sink: str
    waiting: int
    """Ids still to be delivered."""
    owned: int
    """How many of these ids belong to running programs. Each program delivers its own."""
    pids: list[int]
    """The process ids of these programs."""
    dead: int
    """Ids whose delivery was given up after too many failures."""
    last_error: str | None
    """Why a delivery failed."""


@dataclass(frozen=True, slots=True)
class Stats:
    """The journal in numbers. Sizes are in bytes.

    >>> from plsync import Journal
    >>> with Journal.open(create=True) as journal:
    ...     journal.stats().spool.segments
    0
    """

    format: int
    """1, or 2 for a journal that is shared with a group."""
    journal_id: str
    group: int | None
    """The number of the group that the journal is shared with; None for a private journal."""
    records: int
    open: int
    """Records of calls that have not ended."""
    states: dict[str, int]
    """Records by state, with all states."""
    runs: int
    """Runs that are not calls. They are not among the records."""
    open_runs: int
    """Runs that have not ended."""
    run_states: dict[str, int]
    """Runs by state, with all states."""
    growing: int
    """Calls that have ended, and wait for the end of their tree's root. They are among the pending records."""
    growing_runs: int
    """Runs that wait for it."""
    opaque: int
    """Records made by ``Journal.append``. They are held, and never sent."""
    callbacks: int
    """Callbacks still to be delivered."""
    callbacks_dead: int
    """Callbacks given up after too many failures."""
    callback_error: str | None
    """Why a callback failed."""
    sinks: list[SinkBacklog]
    """The callbacks by sink."""
    followups: int
    """Scores, metadata, prompt links and groups that wait for a request id, or to be sent."""
    followups_stranded: int
    """How many of these follow-ups belong to dead or held records."""
    followups_dead: int
    """Follow-ups that PromptLayer refused."""
    followups_sent: int
    """Follow-ups that PromptLayer has, and that the journal keeps."""
    followup_error: str | None
    """Why PromptLayer refused one of them."""
    spool: Spool
    lmdb_bytes: int
    used_bytes: int
    raw_bytes: int
    stored_bytes: int
    pruned: int
    """Acked records whose content the quota removed."""
    dropped: int
    """Records that were never sent, and whose content the quota removed."""
    forgotten: int
    """Records whose content ``plsync forget`` removed. Those never sent are in no state."""
    forgetting: bool
    """Whether a removal was interrupted: content may still be in the files, until ``plsync compact`` finishes."""
    read_only: bool
    """Whether this user can only read the journal."""
    waiting_events: int
    """Events in the spool of a read-only journal that are not ingested, and not shown."""
    quota: Quota
    failures: int
    """Events that could not be recorded, over all writers."""
    last_failure: str | None
    damaged: int
    """Parts of the spool that an ingest could not read."""
    damage: list[str]
    """The place and the reason of the newest damages."""
    skipped: list[SkippedFile]
    """Files of the spool that cannot be used: another user's, or no regular files. All others are used."""
    exposed: str | None
    """A warning if every user can list the journal's directory."""
    writers: list[Writer]
    oldest_unsent: datetime | None
    servers: list[Server]
    """The servers that records were sent to."""
    last_run: LastRun | None
    """The last run of a sender; None before the first, and in a journal of an earlier version."""
    disk_free: int | None
    """Bytes that are free on the journal's disk; None if the system does not report them."""

    @classmethod
    def from_dict(cls, found: dict[str, Any], sinks: list[SinkBacklog]) -> Stats:
        """The statistics of the store's dict."""
        oldest = found["oldest_unsent"]
        return cls(
            **found
            | {
                "sinks": sinks,
                "spool": Spool(**found["spool"]),
                "quota": Quota.from_dict(found["quota"]),
                "skipped": [SkippedFile(**item) for item in found["skipped"]],
                "writers": [Writer(**item) for item in found["writers"]],
                "oldest_unsent": None if oldest is None else datetime_from_ms(oldest),
                "servers": [Server.from_dict(item) for item in found["servers"]],
                "last_run": LastRun.from_json(found["last_run"]),
            }
        )

    @property
    def left(self) -> dict[str, int]:
        """The work left: records by state, ``runs``, ``callbacks``, ``followups``, and refused follow-ups.

        Without zeros. Calls that are running do not count, nor do the ended calls of an agent that is running. Nor do
        records that a hub delivers. ``runs`` has the unsent runs that are not calls. ``plsync run --no-trees`` holds
        these back, which is no work.
        """
        done_here = ("acked", "carried", "received")
        work = {state: number for state, number in self.states.items() if state not in done_here}
        work["pending"] = max(0, work["pending"] - self.open - self.growing)
        work["held"] = max(0, work["held"] - self.opaque)
        unsent = sum(number for state, number in self.run_states.items() if state not in ("acked", "held"))
        work["runs"] = max(0, unsent - self.open_runs - self.growing_runs)
        work |= {"callbacks": self.callbacks, "followups": self.followups, "followups_dead": self.followups_dead}
        return {name: number for name, number in work.items() if number}

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able; times as ISO 8601 text."""
        oldest = self.oldest_unsent and self.oldest_unsent.isoformat()
        quota = self.quota.as_dict() | {"over": self.over_quota}
        sent = {
            "servers": [server.as_dict() for server in self.servers],
            "last_run": self.last_run and self.last_run.as_dict(),
        }
        return asdict(self) | {"oldest_unsent": oldest, "left": self.left, "quota": quota} | sent

    @property
    def over_quota(self) -> bool:
        """Whether the store holds more bytes than its quota.

        After an ingest the policy keeps the rest. On a full disk the ingest may not have removed it yet.
        """
        return self.quota.max_bytes is not None and self.used_bytes > self.quota.max_bytes


@dataclass(frozen=True, slots=True)
class Problem:
    """One problem that a check found."""

    where: str
    what: str
    """The damage."""
    kept: str
    """The part that is still readable."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """The result of a check."""

    frames: int
    """Frames of the spool that were read."""
    records: int
    """Records of the store that were read."""
    events: int
    """Events of these records."""
    problems: list[Problem]
    notes: list[str]
    """Facts that are no damage, such as one request id of one server for two records."""

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> CheckReport:
        """The report of the store's dict."""
        return cls(**found | {"problems": [Problem(**item) for item in found["problems"]]})

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able."""
        return asdict(self)
