"""Records that cross an air gap: the bundles of a journal, and the hubs that got its records.

At an origin, this module chooses the records of an export, and stores which bundles carried them. At a hub, it keeps
the log for the origin. ``docs/reference/bundles.md`` has the protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from plsync._common.clock import datetime_from_ms
from plsync._common.native import BundleWriter, Store, pack_records

__all__ = ["Arrived", "Bundles", "Carriable", "Choice", "Hide", "Hole", "Orphan", "Place", "WrittenBundle", "key_bytes"]

Hide = Callable[["bytes | None", "bytes | None"], "tuple[bytes | None, bytes | None]"]
"""Removes content from the JSON of a record's start and end."""

Choice = Literal["unreceived", "new", "again", "exported"]
"""The records of an export: all that the hub has not received, all that no bundle carried, all, or all of earlier
exports."""


@dataclass(frozen=True, slots=True)
class Carriable:
    """A record that goes into a bundle."""

    seq: int
    doubt: bool
    """It may have been sent, so the hub looks it up first."""
    round: int
    """How often a person sent it again after PromptLayer had refused it."""
    again: bool
    """A bundle carried it before."""


@dataclass(frozen=True, slots=True)
class WrittenBundle:
    """A bundle that this journal has written."""

    id: str
    """64 hex digits."""
    serial: int
    """The number of the export."""
    part: int
    parts: int
    hub: int
    """The number of the hub in this journal."""
    written_at: datetime
    records: int
    whole: bool
    """The file was read back. Otherwise the export was interrupted."""
    received: bool
    """The hub has confirmed it."""

    @classmethod
    def from_dict(cls, found: dict[str, Any]) -> WrittenBundle:
        """The bundle of the store's dict."""
        part, parts = found["part"]
        return cls(
            id=found["id"].hex(),
            serial=found["serial"],
            part=part,
            parts=parts,
            hub=found["hub"],
            written_at=datetime_from_ms(found["at"]),
            records=found["records"],
            whole=found["is_whole"],
            received=found["is_received"],
        )

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able; times as ISO 8601 text."""
        return asdict(self) | {"written_at": self.written_at.isoformat()}


@dataclass(frozen=True, slots=True)
class Place:
    """How far the log of a hub was read."""

    epoch: bytes
    number: int
    chain: bytes
    ended: list[bytes]
    """Epochs that ended before."""
    serial: int
    """The newest export of the hub that was read."""
    read_at: datetime | None


@dataclass(frozen=True, slots=True)
class Orphan:
    """A request id that no record takes."""

    record_id: str
    """32 hex digits. The journal lacks the record, or the record has another request id."""
    request_id: int
    hub: int
    read_at: datetime
    conflict: bool
    """The record has another request id."""

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able; times as ISO 8601 text."""
        return asdict(self) | {"read_at": self.read_at.isoformat()}


@dataclass(frozen=True, slots=True)
class Arrived:
    """A bundle that arrived at a hub."""

    id: str
    serial: int
    part: int
    parts: int
    arrived_at: datetime


@dataclass(frozen=True, slots=True)
class Hole:
    """A bundle that an origin wrote, and that has not arrived at the hub."""

    id: str
    serial: int
    repeated: bool
    """A later bundle, which has arrived, has its records again, as far as the origin waits for them."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Records on their way into bundles."""

    writers: list[BundleWriter]
    """One for each bundle."""
    running: int
    """Calls that have not ended."""
    left_out: list[str]
    """Why records do not fit a bundle."""
    again: int
    """Records that earlier bundles carried."""
    again_between: tuple[datetime, datetime] | None
    """When the first and the last of these bundles were written; None without such records."""


class Bundles:
    """The bundles of a journal.

    Args:
        store: the native store.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    @property
    def store(self) -> Store:
        """The native store, for bundles that are read or written."""
        return self._store

    def hub(self, key_id: str, replaced: str | None = None) -> int:
        """The number of a hub in this journal; a new hub gets the next one.

        Args:
            key_id: of its signing key.
            replaced: of the key that it had before.
        """
        return self._store.hub(key_bytes(key_id), None if replaced is None else key_bytes(replaced))

    def hubs(self) -> dict[str, int]:
        """The numbers of the hubs, by the ids of their keys."""
        return {f"{int.from_bytes(key, 'little'):016X}": hub for key, hub in self._store.hubs()}

    def carriable(self, hub: int, choice: Choice) -> tuple[list[Carriable], int]:
        """The records for a hub in the order of the journal, and the number of calls that have not ended."""
        records, running = self._store.carriable(hub, choice)
        return [Carriable(*record) for record in records], running

    def pack(
        self,
        hub: int,
        choice: Choice,
        scratch: str,
        split_size: int,
        *,
        exports: Sequence[int] = (),
        hide: Hide | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Packed:
        """Pack the records for a hub.

        Args:
            hub: the number of the hub.
            choice: which records.
            scratch: a private directory for temporary files.
            split_size: bytes of a bundle, about.
            exports: for ``exported``, the numbers of the earlier exports.
            hide: removes content from the start and the end of each record.
            on_progress: called with the number of records that are done, and the number of all.
        """
        writers, running, left_out, (again, first, last) = pack_records(
            self._store, hub, choice, scratch, split_size, exports=exports, hide=hide, on_progress=on_progress
        )
        between = (datetime_from_ms(first), datetime_from_ms(last)) if again else None
        return Packed(writers, running, left_out, again, between)

    def begin(
        self,
        bundle_id: bytes,
        *,
        hub: int,
        serial: int,
        part: tuple[int, int],
        seqs: bytes | list[int],
        followups: list[tuple[bytes, bytes]],
    ) -> None:
        """Store a bundle before its file is made: from then on its records belong to the hub.

        Args:
            bundle_id: 32 bytes.
            hub: the recipient's number.
            serial: the number of the export.
            part: the number of the part, and of all parts.
            seqs: the places of the records, in order. The packed bytes of the writer take less memory than a list.
            followups: the follow-ups, each with its id in bundles and its key.
        """
        bundle = {"id": bundle_id, "serial": serial, "part": part, "hub": hub}
        self._store.begin_bundle(bundle, seqs, followups)

    def written(self, bundle_id: bytes, followups: Iterable[bytes] = ()) -> None:
        """Note that the file of a bundle was read back: its records are carried now.

        Args:
            bundle_id: 32 bytes.
            followups: the ids of its follow-ups in bundles.
        """
        self._store.bundle_written(bundle_id, list(followups))

    def failed(self, bundle_id: bytes) -> None:
        """Remove a bundle whose file could not be written."""
        self._store.bundle_failed(bundle_id)

    def all(self) -> list[WrittenBundle]:
        """The bundles that this journal has written, in order."""
        return [WrittenBundle.from_dict(found) for found in self._store.bundles()]

    def receive(self, bundles: list[WrittenBundle]) -> int:
        """Note that the hub has received bundles. Returns how many records are newly received."""
        return self._store.receive_bundles([bytes.fromhex(bundle.id) for bundle in bundles])

    def repeat(self) -> int | None:
        """In how many exports each record goes out, where no file comes back. None: until a hub confirms it."""
        return self._store.repeat()

    def set_repeat(self, repeat: int | None) -> None:
        """Set in how many exports each record goes out, from 1 to 127. Exports before do not count."""
        self._store.set_repeat(repeat)

    def place(self, hub: int) -> Place | None:
        """How far the log of a hub was read; None before the first."""
        if (found := self._store.place(hub)) is None:
            return None
        at = found.pop("at")
        return Place(**found, read_at=None if at is None else datetime_from_ms(at))

    def orphans(self) -> list[Orphan]:
        """Request ids that no record takes."""
        return [
            Orphan(
                found["record"].hex(),
                found["request_id"],
                found["hub"],
                datetime_from_ms(found["at"]),
                found["is_conflict"],
            )
            for found in self._store.orphans()
        ]

    def take_back(self) -> int:
        """Put all carried and received records in doubt: they are looked up, and sent from here. Returns how many.

        The caller holds the sender lock.
        """
        return self._store.take_back()

    def arrived(self) -> list[Arrived]:
        """The bundles that arrived at this hub, by the numbers of their exports."""
        return [
            Arrived(found["id"].hex(), found["serial"], part, parts, datetime_from_ms(found["at"]))
            for found in self._store.arrived()
            for part, parts in [found["part"]]
        ]

    def holes(self) -> list[Hole]:
        """The bundles of the origin that have not arrived at this hub."""
        return [Hole(found["id"].hex(), found["serial"], found["is_repeated"]) for found in self._store.holes()]

    def raise_rounds(self, rounds: list[tuple[bytes, int]]) -> int:
        """Send refused records again that a person sent again at their origin. Returns how many.

        Args:
            rounds: record ids, each with its round.
        """
        return self._store.raise_rounds(rounds)

    def update_log(self) -> tuple[bytes, int, int] | None:
        """Append all news to the log for the origin; None before the first bundle arrived.

        Returns:
            The epoch of the log, the number of its last entry, and of the last entry that the origin has read.
        """
        return self._store.update_log()

    def log_chain(self, number: int) -> bytes | None:
        """The chain hash of the log after an entry; None if there is no such entry."""
        return self._store.log_chain(number)


def key_bytes(key_id: str) -> bytes:
    """The eight bytes of a key's id."""
    return int(key_id, 16).to_bytes(8, "little")
