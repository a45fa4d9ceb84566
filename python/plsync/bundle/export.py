"""Writes bundles: records at an origin, and request ids at a hub."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

from plsync._common.native import BundleWriter
from plsync._common.redaction import Redact
from plsync.bundle.envelope import Envelope, new_writer
from plsync.bundle.hiding import Hiding
from plsync.bundle.keys import Card, Keys, hub_number
from plsync.bundle.medium import WrittenFile
from plsync.bundle.templates import KeptSet, TemplateSet
from plsync.errors import BundleError
from plsync.journal.bundles import Choice, WrittenBundle
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
    """The number of these records that earlier bundles carried."""
    again_serials: list[int] = field(default_factory=list)
    """The numbers of the exports that carried them last."""
    again_since: datetime | None = None
    """When the first of these exports was written."""
    is_unconfirmed: bool = False
    """Whether the hub has confirmed none of these records, and may confirm them."""
    doubtful: int = 0
    """Records that may have been sent, which the hub looks up first."""
    followups: int = 0
    """Scores, metadata, prompt links and groups; in a log, the delivered and refused ones."""
    refused: int = 0
    """Refused and held records that a log reports."""
    templates: int = 0
    """Prompt templates for an origin."""
    running: int = 0
    """Calls that have not ended. They go with a later export."""
    files: list[WrittenFile] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """One line for each record or follow-up that does not fit a bundle. It stays in the journal."""


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
    exports: Sequence[int] = (),
    templates: KeptSet | None = None,
) -> ExportReport:
    """Write records into bundles for a hub, with their scores, metadata, prompt links and groups.

    A record is carried after its bundle was read back from the medium, and stays in the journal. It goes again with
    each export until the hub has confirmed a bundle that has it. So a lost medium costs the bytes of the next export,
    and nothing else. A record belongs to the hub that got it last. Where no file comes back, the journal's setting
    is the number of exports that have each record.

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
            ``exported``: the records of earlier exports, as far as they wait for their request ids.
        exports: for ``exported``, the numbers of the earlier exports.
        templates: the prompt templates that this machine keeps from the hub. A bundle states them, so that the hub
            sends them no more.

    Raises:
        BundleError: this machine has no keys, the journal has not written such an export, or the medium cannot be
            written.
        JournalError: the journal cannot be read.
    """
    own = keys.own_or_raise()
    report = ExportReport(to.name)
    journal.ingest(wait=True)
    bundles = journal.bundles
    hub = hub_number(journal, keys, to)
    written = [bundle for bundle in bundles.all() if bundle.hub == hub]
    if unknown := sorted(set(exports) - {bundle.serial for bundle in written}):
        raise BundleError(
            f"this journal has not written the export {unknown[0]} for {to.name}; nothing was written; "
            f"`plsync bundle list` lists the exports"
        )
    repeat = bundles.repeat()
    place = bundles.place(hub)
    read = None if place is None else (place.epoch, place.number, place.chain, place.ended[-_ENDED:])
    recipient = to.recipient if encrypt else None
    digest = None if templates is None else templates.digest
    envelope = Envelope(keys, own, to, "out", journal.id, own.name, recipient, hub, read, templates=digest)
    hide = Hiding(hooks) if hooks else None
    try:
        packed = bundles.pack(
            hub, choice, os.fspath(keys.path), split_size, exports=exports, hide=hide, on_progress=on_progress
        )
    except OSError as error:
        raise BundleError(
            f"cannot write a temporary file in {keys.path}: {error.strerror}; nothing was written; PLSYNC_KEYS names a "
            f"directory with room"
        ) from None
    report.running, report.left_out, report.again = packed.running, packed.left_out, packed.again
    if packed.again_between is not None:
        first, newest = packed.again_between
        carried = {bundle.serial for bundle in written if first <= bundle.written_at <= newest}
        report.again_since, report.again_serials = first, sorted(carried)
        report.is_unconfirmed = choice == "unreceived" and repeat is None
    with contextlib.ExitStack() as stack:
        writers = packed.writers or [stack.enter_context(new_writer(keys.path))]
        followups, unfit = writers[-1].followups(bundles.store, hub, None if choice == "again" else repeat)
        report.followups = len(followups)
        report.left_out += [f"a follow-up of {UUID(bytes=record)}: {reason}" for record, reason in unfit]
        is_stating = templates is not None and not templates.is_stated
        # A hub that never got a bundle reports nothing.
        is_waiting = bool(written) and _is_waiting_for(journal)
        if not (packed.writers or followups or is_stating or is_waiting):
            return report
        report.serial = keys.next_serial()
        repeats = [] if report.left_out else _repeated(written, choice, exports, is_one_way=repeat is not None)
        for number, writer in enumerate(writers, 1):
            report.records += writer.records
            report.doubtful += writer.doubtful
            last = _Last(followups, repeats) if number == len(writers) else _Last([], [])
            numbers = (report.serial, number, len(writers))
            report.files.append(_write_part(journal, envelope, writer, directory, last=last, numbers=numbers))
    return report


def _repeated(
    written: Sequence[WrittenBundle], choice: Choice, exports: Sequence[int], *, is_one_way: bool
) -> list[bytes]:
    """The earlier bundles whose records this export has again, as far as the origin waits for them."""
    if choice == "exported":
        found = [bundle for bundle in written if bundle.serial in exports]
    elif choice == "new" or is_one_way:
        return []
    else:
        found = [bundle for bundle in written if not bundle.received]
    return [bytes.fromhex(bundle.id) for bundle in found[-_RECENT:]]


@dataclass(frozen=True)
class _Last:
    """The content that only the last part of an export has."""

    followups: list[tuple[bytes, bytes]]
    repeats: list[bytes]


def _write_part(
    journal: Journal,
    envelope: Envelope,
    writer: BundleWriter,
    directory: Path,
    *,
    last: _Last,
    numbers: tuple[int, int, int],
) -> WrittenFile:
    bundles, hub, serial, number = journal.bundles, envelope.hub, numbers[0], numbers[1:]
    earlier = [bundle for bundle in bundles.all() if bundle.hub == hub and bundle.whole]
    recent = [(bytes.fromhex(bundle.id), bundle.serial) for bundle in earlier[-_RECENT:]]
    bundle_id = envelope.seal(writer, serial, number, recent=recent, repeats=last.repeats)
    # Before the file: if this process is killed, the file may be on its way, and the hub's reports about it count.
    bundles.begin(bundle_id, hub=hub, serial=serial, part=number, seqs=writer.seqs(), followups=last.followups)
    try:
        file = envelope.write(writer, directory, serial, number)
    except BaseException:
        bundles.failed(bundle_id)
        raise
    bundles.written(bundle_id, [followup for followup, _ in last.followups])
    return file


def _is_waiting_for(journal: Journal) -> bool:
    """Whether a hub has records without a request id. A bundle without records then states how far its log was read."""
    states = journal.stats().states
    return states["carried"] + states["received"] > 0


def export_log(
    journal: Journal,
    origin_journal: str,
    keys: Keys,
    to: Card,
    directory: Path,
    *,
    encrypt: bool = False,
    again: bool = False,
    templates: TemplateSet | None = None,
) -> ExportReport:
    """Write the log of a journal at a hub into a bundle for its origin: received bundles, request ids and refusals.

    It begins where the origin has read it to. Without encryption a person can review it.

    Args:
        journal: the journal at the hub.
        origin_journal: the id of the origin's journal.
        keys: the keys of this machine.
        to: the trusted card of the origin.
        directory: on the medium.
        encrypt: encrypt to the origin.
        again: write also the part of the log that the origin has read.
        templates: prompt templates for the origin.

    Raises:
        BundleError: this machine has no keys, or the medium cannot be written.
        JournalError: the journal cannot be read.
    """
    own = keys.own_or_raise()
    report = ExportReport(to.name)
    if (head := journal.bundles.update_log()) is None:
        return report
    epoch, last, read = head
    read = 0 if again else read
    if last == read and templates is None:
        return report
    chain = journal.bundles.log_chain(read) or bytes(16)
    name = f"{own.name}-to-{to.name}"
    recipient = to.recipient if encrypt else None
    with new_writer(keys.path) as writer:
        kinds = writer.log(journal.bundles.store, read)
        report.records = kinds.get("ack", 0)
        report.refused = kinds.get("dead", 0) + kinds.get("held", 0)
        report.followups = kinds.get("done", 0) + kinds.get("refused", 0)
        for content in [] if templates is None else templates.contents:
            if (reason := writer.template(content)) is None:
                report.templates += 1
            else:
                report.left_out.append(f"a prompt template of {len(content):,} bytes: {reason}")
        digest = templates.digest if templates is not None and report.templates else None
        if last == read and digest is None:
            return report
        envelope = Envelope(
            keys, own, to, "back", origin_journal, name, recipient, log=(epoch, read, chain), templates=digest
        )
        report.serial = keys.next_serial()
        envelope.seal(writer, report.serial, (1, 1))
        report.files.append(envelope.write(writer, directory, report.serial, (1, 1)))
    return report
