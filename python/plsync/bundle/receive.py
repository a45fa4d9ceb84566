"""Reads bundles: from a medium into a private copy, and from there into a journal."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from plsync._common.files import create_new, open_any
from plsync._common.native import SignedBundle, open_bundle
from plsync.bundle.keys import Keys, hub_number
from plsync.bundle.medium import read_signature
from plsync.errors import BundleError
from plsync.journal.journal import Journal

__all__ = ["Acked", "BundleFields", "apply_log", "left_in", "opened", "sender_of"]

# Seconds after which a copy without its signature belongs to a process that was killed.
_STALE: Final = 3600.0
# The begin of the message for a bundle of another machine.
_IS_FOR: Final = "it is for the key"
# The same for a bundle of a signer without a trusted card.
_IS_SIGNED_BY: Final = "it is signed by key"
# The first bytes of a file that age encrypted.
_AGE: Final = b"age-encryption.org/v1\n"


@dataclass(frozen=True)
class BundleFields:
    """The fields that the signer of a bundle signed."""

    id: str
    kind: str
    """``out``: records to a hub. ``back``: request ids to an origin."""
    signer: str
    """The name of the trusted card."""
    key_id: str
    to: str
    """The key id of the recipient."""
    journal_id: str
    serial: int
    part: int
    parts: int
    bytes: int
    encrypted: bool
    created_at_ms: int
    records: int
    followups: int
    entries: int
    templates: int = 0

    @classmethod
    def of(cls, bundle: SignedBundle) -> BundleFields:
        """The fields of an open bundle."""
        fields: dict[str, Any] = bundle.fields()
        return cls(signer=fields.pop("from"), **fields)

    @property
    def label(self) -> str:
        """The number of the export and the part, as in the file's name."""
        return f"{self.serial:06d} {self.part}of{self.parts}" if self.kind == "out" else f"{self.serial:06d}"


@contextlib.contextmanager
def opened(path: Path, keys: Keys, inbox: Path, *, is_kept: bool = False) -> Iterator[SignedBundle]:
    """A bundle of a trusted signer for this machine. The whole bundle was checked, and is read from a private copy.

    Args:
        path: the file; its signature lies beside it.
        keys: the keys of this machine, with the trusted cards.
        inbox: a private directory for the copy, which is removed afterwards.
        is_kept: put the signature beside the copy, so that :func:`left_in` finds both after the process was killed.

    Raises:
        BundleError: the bundle is not accepted. Nothing was changed.
    """
    signature = read_signature(path)
    try:
        inbox.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BundleError(
            f"{inbox.parent} cannot be used: {error.strerror}; nothing was changed; name a directory that this user "
            f"can write"
        ) from None
    left_in(inbox)
    copy, beside = inbox / (name := f"{os.urandom(16).hex()}.tar"), inbox / f"{name}.minisig"
    own = [(key_id, _identity(path, signature, keys, key_id)) for key_id in keys.key_ids()]
    peers = [(trusted.card.name, trusted.role, trusted.card.public_key) for trusted in keys.trusted()]
    try:
        bundle = open_bundle(os.fspath(path), signature, os.fspath(copy), peers, own, shutil.disk_usage(inbox).free)
        if is_kept:
            with open(create_new(beside), "wb") as file:
                file.write(signature.encode())
                file.flush()
                os.fsync(file.fileno())
        yield bundle
    except BundleError as error:
        machine = keys.own_or_raise()
        if signer := next((key_id for key_id in keys.key_ids() if f"{_IS_SIGNED_BY} {key_id}" in str(error)), None):
            raise BundleError(
                f"{path.name}: {_IS_SIGNED_BY} {signer}, which is not trusted here. This machine wrote it for another "
                f"one; nothing was changed; `minisign -V` checks it with the key of `plsync keys show`"
            ) from None
        here = f" (this is {machine.name}, with the key {machine.key_id})" if _IS_FOR in str(error) else ""
        raise BundleError(f"{path.name}: {error}{here}") from None
    except OSError as error:
        reason = error.strerror or str(error)
        raise BundleError(
            f"{path.name}: {reason}; it is not confirmed, and no record is lost: import it again"
        ) from None
    finally:
        for done in (copy, beside):
            with contextlib.suppress(OSError):
                os.unlink(done)
        with contextlib.suppress(OSError):
            inbox.rmdir()


def _identity(path: Path, signature: str, keys: Keys, key_id: str) -> str | None:
    """The identity of a key if the file needs it: a passphrase may protect it. Nothing is verified here."""
    if f" to={key_id} " not in signature:
        return None
    try:
        with open(open_any(path), "rb") as file:
            is_encrypted = file.read(len(_AGE)) == _AGE
    except OSError:
        return None
    return keys.identity(key_id) if is_encrypted else None


def left_in(inbox: Path) -> list[Path]:
    """The copies of bundles whose import was interrupted. Removes copies that were not checked yet."""
    if not inbox.is_dir():
        return []
    copies = [path for path in inbox.iterdir() if path.name.endswith(".tar")]
    whole = [path for path in copies if path.with_name(f"{path.name}.minisig").exists()]
    for path in copies:
        with contextlib.suppress(OSError):
            if path not in whole and time.time() - path.stat().st_mtime > _STALE:
                os.unlink(path)
    return whole


@dataclass
class Acked:
    """The result of a log at its origin."""

    entries: int
    joins: bool
    """Whether the log joins the part that was read before. Receipts count only then."""
    acked: int
    """Request ids that the journal did not have."""
    refused: list[tuple[str, str]]
    """Record ids and reasons, of records that PromptLayer has newly refused, or that are held."""
    received: int
    """Records that the hub has newly confirmed."""
    unknown: int
    """Request ids of records that the journal does not have: it was put back from a copy."""
    unknown_bundles: int
    """Confirmed bundles that the journal has not written: it was put back from a copy."""
    conflicts: int
    """Request ids of records that have another request id."""
    early: int
    """Entries about records that this journal has not given to the hub. They come again after the next export."""
    done: int
    """Follow-ups that PromptLayer newly has."""
    followups_refused: int
    """Follow-ups that it has newly refused."""


def sender_of(bundle: SignedBundle, journal: Journal, keys: Keys) -> int:
    """The number of the hub that signed a log for a journal.

    Raises:
        BundleError: the log is of another journal, or the bundle goes to a hub.
        JournalError: the journal cannot be written.
    """
    fields = BundleFields.of(bundle)
    if fields.kind != "back":
        raise BundleError("it carries records to a hub; nothing was changed; import it at the hub, with --hub DIR")
    if fields.journal_id != journal.id:
        raise BundleError(
            f"it is for the journal {fields.journal_id[:8]}, and {journal.path} is {journal.id[:8]}; nothing was "
            f"changed; choose the journal with --journal"
        )
    [card] = [t.card for t in keys.trusted() if t.card.key_id == fields.key_id and t.role == "hub"]
    return hub_number(journal, keys, card)


def apply_log(bundle: SignedBundle, journal: Journal, keys: Keys) -> Acked:
    """Apply the log of a hub to the journal of its records.

    Request ids hold from any log. Receipts count only where the log joins the part that was read before.

    Raises:
        BundleError: the log is of another journal.
        JournalError: the journal cannot be written.
    """
    hub = sender_of(bundle, journal, keys)
    # A record that is still in the spool would count as one that the journal lacks.
    journal.ingest(wait=True)
    found = bundle.apply_log(journal.bundles.store, hub)
    found["refused"] = [(str(UUID(bytes=record_id)), reason) for record_id, reason in found["refused"]]
    return Acked(**found)
