"""Writes bundles: records at an origin, and request ids at a hub."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from uuid import UUID

from plsync._common.clock import now_ms
from plsync._common.native import BundleWriter
from plsync._common.redaction import Redact
from plsync.bundle import medium
from plsync.bundle.hiding import Hiding
from plsync.bundle.keys import Card, Keys
from plsync.bundle.medium import WrittenFile
from plsync.errors import BundleError
from plsync.journal.bundles import Choice
from plsync.journal.journal import Journal

__all__ = ["ExportReport", "export_log", "export_records"]

SPLIT_SIZE: Final = 512_000_000
"""Bytes after which the next part begins. Each part is a whole bundle."""

# Bundles that a manifest names, so that the hub sees which are missing.
_RECENT: Final = 64
# Epochs of the hub's log that a manifest names as ended.
_ENDED: Final = 1024


@dataclass
class ExportReport:
    """The result of an export."""

    to: str
    """The name of the recipient."""
    serial: int = 0
    """The number of this export."""
    records: int = 0
    """Records in the bundles, or request ids."""
    again: int = 0
    """The number of these records that earlier bundles carried, and that the hub has not confirmed."""
    doubtful: int = 0
    """Records that may have been sent, which the hub looks up first."""
    followups: int = 0
    """Scores, metadata, prompt links and groups; in a log, the delivered and refused ones."""
    refused: int = 0
    """Refused and held records that a log reports."""
    running: int = 0
    """Calls that have not ended. They go with a later export."""
    files: list[WrittenFile] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """One line for each record or follow-up that does not fit a bundle. It stays in the journal."""


@dataclass(frozen=True)
class _Envelope:
    """The fields of a bundle beside its records."""

    keys: Keys
    own: Card
    to: Card
    kind: Literal["out", "back"]
    journal_id: str
    name: str
    recipient: str | None
    hub: int = 0
    """The number of the recipient in the journal of the origin."""
    place: tuple[bytes, int, bytes, list[bytes]] | None = None
    log: tuple[bytes, int, bytes] | None = None

    def seal(
        self, writer: BundleWriter, serial: int, part: tuple[int, int], recent: list[tuple[bytes, int]] | None = None
    ) -> bytes:
        """End a bundle. Returns its id."""
        fields: dict[str, Any] = {
            "kind": self.kind,
            "journal": self.journal_id,
            "name": self.own.name,
            "signing_key": self.keys.signing_key(),
            "to": self.to.key_id,
            "recipient": self.recipient,
            "serial": serial,
            "part": part,
            "created_at": now_ms(),
            "place": self.place,
            "recent": recent or [],
            "log": self.log,
        }
        return writer.seal(fields)

    def write(self, writer: BundleWriter, directory: Path, serial: int, part: tuple[int, int]) -> WrittenFile:
        suffix = ".tar" if self.recipient is None else ".tar.age"
        parts = f"-{part[0]}of{part[1]}" if self.kind == "out" else ""
        return medium.write(directory, f"plsync-{self.name}-{serial:06d}{parts}{suffix}", writer.write)


def export_records(
    journal: Journal,
    keys: Keys,
    to: Card,
    directory: Path,
    *,
    encrypt: bool = True,
    split_size: int = SPLIT_SIZE,
    hooks: Sequence[Redact] = (),
    on_progress: Callable[[int, int], None] | None = None,
    choice: Choice = "unreceived",
) -> ExportReport:
    """Write records into bundles for a hub, with their scores, metadata, prompt links and groups.

    A record is carried after its bundle was read back from the medium, and stays in the journal. It goes again with
    each export until the hub has confirmed a bundle that has it. So a lost medium costs the bytes of the next export,
    and nothing else. A record belongs to the hub that got it last.

    Args:
        journal: the journal of the origin.
        keys: the keys of this machine.
        to: the trusted card of the hub.
        directory: on the medium.
        encrypt: encrypt to the hub.
        split_size: bytes of a part, about.
        hooks: redact hooks, called with each event. A record for which a hook raises stays here.
        on_progress: called with the number of records that are done, and the number of all.
        choice: ``unreceived``: all records that the hub has not confirmed. ``new``: only those without a bundle.
            ``again``: also records that the hub has confirmed, and records of another hub, which are looked up first.

    Raises:
        BundleError: this machine has no keys, or the medium cannot be written.
        JournalError: the journal cannot be read.
    """
    own = keys.own_or_raise()
    report = ExportReport(to.name)
    journal.ingest(wait=True)
    bundles = journal.bundles
    hub = bundles.hub(to.key_id, to.replaced_key_id)
    place = bundles.place(hub)
    read = None if place is None else (place.epoch, place.number, place.chain, place.ended[-_ENDED:])
    recipient = to.recipient if encrypt else None
    envelope = _Envelope(keys, own, to, "out", journal.id, own.name, recipient, hub, read)
    hide = Hiding(hooks) if hooks else None
    try:
        packed = bundles.pack(hub, choice, os.fspath(keys.path), split_size, hide=hide, on_progress=on_progress)
    except OSError as error:
        raise BundleError(
            f"cannot write a temporary file in {keys.path}: {error.strerror}; nothing was written; PLSYNC_KEYS names a "
            f"directory with room"
        ) from None
    report.running, report.left_out, report.again = packed.running, packed.left_out, packed.again
    with contextlib.ExitStack() as stack:
        writers = packed.writers or [stack.enter_context(_writer(keys.path))]
        followups, unfit = writers[-1].followups(bundles.store, hub)
        report.followups = len(followups)
        report.left_out += [f"a follow-up of {UUID(bytes=record)}: {reason}" for record, reason in unfit]
        if not packed.writers and not followups and not _is_waiting_for(journal):
            return report
        report.serial = keys.next_serial()
        for number, writer in enumerate(writers, 1):
            report.records += writer.records
            report.doubtful += writer.doubtful
            own_followups = followups if number == len(writers) else []
            numbers = (report.serial, number, len(writers))
            report.files.append(
                _write_part(journal, envelope, writer, directory, followups=own_followups, numbers=numbers)
            )
    return report


def _write_part(
    journal: Journal,
    envelope: _Envelope,
    writer: BundleWriter,
    directory: Path,
    *,
    followups: list[tuple[bytes, bytes]],
    numbers: tuple[int, int, int],
) -> WrittenFile:
    bundles, hub, serial, number = journal.bundles, envelope.hub, numbers[0], numbers[1:]
    earlier = [bundle for bundle in bundles.all() if bundle.hub == hub and bundle.whole]
    recent = [(bytes.fromhex(bundle.id), bundle.serial) for bundle in earlier[-_RECENT:]]
    bundle_id = envelope.seal(writer, serial, number, recent)
    # Before the file: if this process is killed, the file may be on its way, and the hub's reports about it count.
    bundles.begin(bundle_id, hub=hub, serial=serial, part=number, seqs=writer.seqs(), followups=followups)
    try:
        file = envelope.write(writer, directory, serial, number)
    except BaseException:
        bundles.failed(bundle_id)
        raise
    bundles.written(bundle_id)
    return file


def _is_waiting_for(journal: Journal) -> bool:
    """Whether a hub has records without a request id. A bundle without records then states how far its log was read."""
    states = journal.stats().states
    return states["carried"] + states["received"] > 0


def export_log(journal: Journal, origin_journal: str, keys: Keys, to: Card, directory: Path) -> ExportReport:
    """Write the log of a journal at a hub into a bundle for its origin: received bundles, request ids and refusals.

    It begins where the origin has read it to. It is not encrypted, so that a person can review it.

    Args:
        journal: the journal at the hub.
        origin_journal: the id of the origin's journal.
        keys: the keys of this machine.
        to: the trusted card of the origin.
        directory: on the medium.

    Raises:
        BundleError: this machine has no keys, or the medium cannot be written.
        JournalError: the journal cannot be read.
    """
    own = keys.own_or_raise()
    report = ExportReport(to.name)
    if (head := journal.bundles.update_log()) is None:
        return report
    epoch, last, read = head
    if last == read:
        return report
    chain = journal.bundles.log_chain(read) or bytes(16)
    name = f"{own.name}-to-{to.name}"
    envelope = _Envelope(keys, own, to, "back", origin_journal, name, None, log=(epoch, read, chain))
    with _writer(keys.path) as writer:
        kinds = writer.log(journal.bundles.store, read)
        report.records = kinds.get("ack", 0)
        report.refused = kinds.get("dead", 0) + kinds.get("held", 0)
        report.followups = kinds.get("done", 0) + kinds.get("refused", 0)
        report.serial = keys.next_serial()
        envelope.seal(writer, report.serial, (1, 1))
        report.files.append(envelope.write(writer, directory, report.serial, (1, 1)))
    return report


@contextlib.contextmanager
def _writer(directory: Path) -> Iterator[BundleWriter]:
    """A writer whose scratch file disappears with it."""
    path = directory / f".scratch.{os.urandom(16).hex()}"
    try:
        writer = BundleWriter(os.fspath(path))
        if os.name == "posix":
            os.unlink(path)
        yield writer
    except OSError as error:
        raise BundleError(f"cannot write {path}: {error.strerror}; nothing was written") from None
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)
