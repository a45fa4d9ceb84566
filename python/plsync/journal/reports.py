"""The reports of a journal: receipts, statistics, results of a check.

The native store returns each report as a dict with the fields of its dataclass (rust/python/src/store/report.rs).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, get_args

from plsync._common.clock import datetime_from_ms

__all__ = [
    "MOST_BYTES",
    "POLICIES",
    "CheckReport",
    "CompactReport",
    "Damage",
    "IngestReport",
    "Policy",
    "Problem",
    "Quota",
    "Receipt",
    "SalvageReport",
    "Spool",
    "Stats",
    "Waiting",
    "Writer",
]

MOST_BYTES: Final = (1 << 63) - 1
"""What the store can count to."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What ``flush()`` vouches for: records on disk, and how far they have got. Counts cover the whole journal."""

    journaled: int
    """Records in the journal, safe on disk."""
    acked: int
    """Of those, records PromptLayer has answered with an id."""
    in_doubt: int
    """Records that were sent but not answered clearly; they are looked up before anything is sent again."""
    dead: int
    """Records PromptLayer refused; kept, never sent again by itself."""
    waiting: int
    """Records that have ended and are still to be delivered, those in doubt among them."""


@dataclass(frozen=True, slots=True)
class Damage:
    """A stretch of a spool segment that could not be read."""

    segment: str
    offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class IngestReport:
    """What moving events from the spool into the journal did."""

    ran: bool
    """False when another process was ingesting and this one did not wait."""
    frames: int = 0
    records: int = 0
    duplicates: int = 0
    abandoned: int = 0
    segments_removed: int = 0
    damage: list[Damage] = field(default_factory=list)

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> IngestReport:
        """The report of the store's answer."""
        return cls(**found | {"damage": [Damage(**item) for item in found["damage"]]})


@dataclass(frozen=True, slots=True)
class Spool:
    """The segments events are written to before they are ingested."""

    segments: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Writer:
    """A process that writes, or wrote, into the journal."""

    writer: str
    pid: int
    started_ms: int
    """When it began to write, ms since the epoch."""
    alive: bool
    failures: int
    """Events it could not record."""
    events: int


Policy = Literal["keep-unsent", "drop-oldest"]
POLICIES: Final[tuple[Policy, ...]] = get_args(Policy)


@dataclass(frozen=True, slots=True)
class Quota:
    """How much a journal may hold, and what goes first. By default everything stays."""

    max_bytes: int | None = None
    """Bytes of the store in use (``Stats.used_bytes``)."""
    max_age: timedelta | None = None
    """Since a call began."""
    policy: Policy = "keep-unsent"
    """``keep-unsent``: only what was sent loses its content; ``drop-oldest``: then the oldest of the rest."""

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> Quota:
        """The quota of the store's answer."""
        age = found["max_age_ms"]
        return cls(found["max_bytes"], None if age is None else timedelta(milliseconds=age), found["policy"])

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able; the age in seconds."""
        return asdict(self) | {"max_age": self.max_age and self.max_age.total_seconds()}


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What a compaction did."""

    before: int
    """Bytes of the store's file."""
    after: int
    """Bytes of it now."""
    pruned: int
    """Acked records whose content the quota removed first."""
    dropped: int
    """Records never sent whose content it removed."""

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class SalvageReport:
    """What a salvage kept, and what it could not."""

    records: int
    """Records in the new journal."""
    events: int
    """Events read from the damaged store."""
    acks: int
    """Request ids read from it."""
    callbacks: int
    """Callbacks that still wait."""
    followups: int
    """Follow-ups that wait, or were refused."""
    frames: int
    """Events read from the spool that the store did not have."""
    damaged: int
    """Pages and entries of the store that could not be read; what they held may have been found elsewhere."""
    lost: int
    """How many things are lost."""
    losses: list[str]
    """What is lost; of very many the first."""

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A sink, and how many request ids wait for it."""

    sink: str
    waiting: int
    """Ids still to be delivered."""
    owned: int
    """Of these, ids that belong to programs which are running: each delivers its own."""
    pids: list[int]
    """The processes of those programs."""
    dead: int
    """Ids given up after too many failures."""
    last_error: str | None
    """Why a delivery failed."""


@dataclass(frozen=True, slots=True)
class Stats:
    """The journal in numbers. Sizes in bytes."""

    format: int
    journal_id: str
    records: int
    open: int
    """Records whose call has not ended."""
    states: dict[str, int]
    """Records by state; every state is there."""
    opaque: int
    """Records made by ``Journal.append``: held, with nothing to send."""
    callbacks: int
    """Callbacks still to be delivered."""
    callbacks_dead: int
    """Callbacks given up after too many failures."""
    callback_error: str | None
    """Why a callback failed."""
    sinks: list[Waiting]
    """Who they wait for, and who they were given up for."""
    followups: int
    """Scores, metadata, prompt links and groups that wait for a request id, or to be sent."""
    followups_stranded: int
    """Of those, the ones of records that are dead or held."""
    followups_dead: int
    """Follow-ups that PromptLayer refused."""
    followup_error: str | None
    """Why it refused one of them."""
    spool: Spool
    lmdb_bytes: int
    used_bytes: int
    raw_bytes: int
    stored_bytes: int
    pruned: int
    """Acked records whose bodies the quota removed."""
    dropped: int
    """Records never sent whose bodies it removed."""
    quota: Quota
    failures: int
    """Events that could not be recorded, over all writers."""
    last_failure: str | None
    damaged: int
    """Stretches of the spool that could not be read when they were taken in."""
    damage: list[str]
    """Where and why, for the newest of them."""
    writers: list[Writer]
    oldest_unsent: datetime | None

    @classmethod
    def from_dict(cls, found: dict[str, Any], sinks: list[Waiting]) -> Stats:
        """The statistics of the store's answers."""
        oldest = found["oldest_unsent"]
        return cls(
            **found
            | {
                "sinks": sinks,
                "spool": Spool(**found["spool"]),
                "quota": Quota.from_dict(found["quota"]),
                "writers": [Writer(**item) for item in found["writers"]],
                "oldest_unsent": None if oldest is None else datetime_from_ms(oldest),
            }
        )

    @property
    def left(self) -> dict[str, int]:
        """What is still to be done: records by state, ``callbacks``, ``followups``, and those refused.

        Only what there is; calls that are running do not count.
        """
        work = {state: number for state, number in self.states.items() if state != "acked"}
        work["pending"] = max(0, work["pending"] - self.open)
        work["held"] = max(0, work["held"] - self.opaque)
        work |= {"callbacks": self.callbacks, "followups": self.followups, "followups_dead": self.followups_dead}
        return {what: number for what, number in work.items() if number}

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able; times as ISO 8601 text."""
        oldest = self.oldest_unsent and self.oldest_unsent.isoformat()
        quota = self.quota.as_dict() | {"over": self.over_quota}
        return asdict(self) | {"oldest_unsent": oldest, "left": self.left, "quota": quota}

    @property
    def over_quota(self) -> bool:
        """Whether the store holds more bytes than its quota, because its policy lets nothing more go."""
        return self.quota.max_bytes is not None and self.used_bytes > self.quota.max_bytes


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing a check found wrong: where, what, and what is still there."""

    where: str
    what: str
    kept: str


@dataclass(frozen=True, slots=True)
class CheckReport:
    """What a check read, and what was wrong with it."""

    frames: int
    records: int
    events: int
    problems: list[Problem]

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> CheckReport:
        """The report of the store's answer."""
        return cls(**found | {"problems": [Problem(**item) for item in found["problems"]]})

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able."""
        return asdict(self)
