"""Writes bundles: records at an origin, and request ids at a hub."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from uuid import UUID

from plsync._common.clock import now_ms
from plsync._common.native import BundleWriter
from plsync._common.redaction import Redact
from plsync.bundle import medium
from plsync.bundle.hiding import Hiding
from plsync.bundle.keys import Card, Keys
from plsync.bundle.medium import WrittenFile
from plsync.errors import BundleError
from plsync.journal.journal import Journal

__all__ = ["ExportReport", "export_log", "export_records"]

SPLIT_SIZE: Final = 512_000_000
"""Bytes after which the next part begins. Each part is a whole bundle."""

_LONGEST_REASON: Final = 1000


@dataclass
class ExportReport:
    """The result of an export."""

    to: str
    """The name of the recipient."""
    serial: int = 0
    """The number of this export."""
    records: int = 0
    """Records in the bundles, or request ids."""
    doubtful: int = 0
    """Records that may have been sent, which the hub looks up first."""
    refused: int = 0
    """Refused and held records that a log reports."""
    running: int = 0
    """Calls that have not ended. They go with a later export."""
    files: list[WrittenFile] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """One line for each record that does not fit a bundle. It stays in the journal."""


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

    def write(self, writer: BundleWriter, directory: Path, serial: int, part: tuple[int, int]) -> WrittenFile:
        suffix = ".tar" if self.recipient is None else ".tar.age"
        parts = f"-{part[0]}of{part[1]}" if self.kind == "out" else ""
        return medium.write(
            directory,
            f"plsync-{self.name}-{serial:06d}{parts}{suffix}",
            lambda path: writer.finish(
                path,
                {
                    "kind": self.kind,
                    "journal": self.journal_id,
                    "name": self.own.name,
                    "signing_key": self.keys.signing_key(),
                    "to": self.to.key_id,
                    "recipient": self.recipient,
                    "serial": serial,
                    "part": part,
                    "created_at": now_ms(),
                },
            ),
        )


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
) -> ExportReport:
    """Write all records without a request id into bundles for a hub.

    A record stays in the journal until its request id comes back. Each export has all of them, so a lost medium costs
    the bytes of the next export and nothing else.

    Args:
        journal: the journal of the origin.
        keys: the keys of this machine.
        to: the trusted card of the hub.
        directory: on the medium.
        encrypt: encrypt to the hub.
        split_size: bytes of a part, about.
        hooks: redact hooks, called with each event. A record for which a hook raises stays here.
        on_progress: called with the number of records that are done, and the number of all.

    Raises:
        BundleError: this machine has no keys, or the medium cannot be written.
        JournalError: the journal cannot be read.
    """
    own = keys.own_or_raise()
    envelope = _Envelope(keys, own, to, "out", journal.id, own.name, to.recipient if encrypt else None)
    report = ExportReport(to.name)
    journal.ingest(wait=True)
    # Before the records leave: a hub looks up records that another hub may have sent.
    has_other = keys.note_hub(journal.id, to.key_id)
    writers, report.running, report.left_out = journal.outbox.pack(
        os.fspath(keys.path),
        split_size,
        doubt=has_other,
        hide=Hiding(hooks) if hooks else None,
        on_progress=on_progress,
    )
    if writers:
        report.serial = keys.next_serial()
    for number, writer in enumerate(writers, 1):
        report.records += writer.records
        report.doubtful += writer.doubtful
        report.files.append(envelope.write(writer, directory, report.serial, (number, len(writers))))
    return report


def export_log(journal: Journal, origin_journal: str, keys: Keys, to: Card, directory: Path) -> ExportReport:
    """Write the request ids of a journal at a hub, and the refused records, into a bundle for their origin.

    Each bundle has all of them, so none depends on another. It is not encrypted, so that a person can review it.

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
    envelope = _Envelope(keys, own, to, "back", origin_journal, f"{own.name}-to-{to.name}", None)
    report = ExportReport(to.name)
    with _writer(keys.path) as writer:
        number = 0
        for ack in journal.acks():
            number += 1
            at = int(ack.acked_at.timestamp() * 1000)
            writer.ack(number, UUID(ack.record_id).bytes, ack.request_id, at, False)
            report.records += 1
        for record in journal.records(state=("dead", "held"), oldest_first=True):
            number += 1
            reason = (record.last_error or "")[:_LONGEST_REASON]
            writer.parked(number, UUID(record.id).bytes, record.state == "held", reason)
            report.refused += 1
        if number:
            report.serial = keys.next_serial()
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
