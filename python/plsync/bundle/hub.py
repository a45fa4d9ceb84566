"""A hub: a directory with one ordinary journal for each journal of an origin."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from plsync._common.files import admit_directory, create_new, read_own, temporary_beside
from plsync._common.native import SignedBundle
from plsync.bundle.keys import Keys
from plsync.bundle.receive import BundleFields, left_in, opened
from plsync.errors import BundleError, JournalError, JournalLocked
from plsync.journal.journal import Journal

__all__ = ["Hub", "Imported", "Origin", "missing_in"]

_SUFFIX: Final = ".origin.json"
_TEMPLATES: Final = ".templates"
_MOST: Final = 4096


@dataclass(frozen=True)
class Origin:
    """A journal of an origin, and its journal at the hub."""

    directory: str
    """The name of the journal's directory in the hub: the origin's name, and for its further journals also a number."""
    name: str
    """The name of the origin's card."""
    key_id: str
    journal_id: str
    """The id of the journal at the origin."""


@dataclass(frozen=True)
class Imported:
    """The result of an import at the hub."""

    origin: Origin
    records: int
    new: int
    followups: int
    """Scores, metadata, prompt links and groups that are new."""
    requeued: int
    """Refused records that a person sent again at the origin."""
    put_back: bool
    """The origin has read more of the log than this journal has: the journal was put back from a copy, or is new."""
    missing: list[str]
    """The bundles of the origin that have not arrived, by their numbers."""
    repeated: list[str]
    """The bundles that have not arrived, and whose records have come with this bundle."""


def missing_in(journal: Journal) -> list[str]:
    """The numbers of bundles that have not arrived at a journal of a hub, and of their parts."""
    arrived = journal.bundles.arrived()
    parts: dict[int, set[int]] = {}
    for bundle in arrived:
        parts.setdefault(bundle.serial, set()).add(bundle.part)
    holes = journal.bundles.holes()
    repeated = {hole.serial for hole in holes if hole.repeated}
    missing = {(hole.serial, 0) for hole in holes if hole.serial not in parts}
    for bundle in arrived:
        missing |= {(bundle.serial, part) for part in range(1, bundle.parts + 1) if part not in parts[bundle.serial]}
    missing = {(serial, part) for serial, part in missing if serial not in repeated}
    return [f"{serial:06d}" + (f" part {part}" if part else "") for serial, part in sorted(missing)]


class Hub:
    """The directory of a hub.

    Args:
        path: the directory.

    Raises:
        BundleError: other users control the directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if path.exists():
            try:
                admit_directory(path)
            except OSError as error:
                raise BundleError(f"{path} cannot be a hub: {error.strerror}; nothing was changed") from None

    @property
    def inbox(self) -> Path:
        """The directory for private copies of bundles."""
        return self.path / "inbox"

    def journal(self, origin: Origin) -> Path:
        """The directory of an origin's journal."""
        return self.path / origin.directory

    def prepare(self, origin: Origin) -> Path:
        """The directory of an origin's journal, which exists from now on.

        Raises:
            JournalError: the journal cannot be made or opened.
        """
        path = self.journal(origin)
        Journal.open(path, create=True).close()
        return path

    def origins(self) -> list[Origin]:
        """The origins of the hub, sorted by name.

        Raises:
            BundleError: a file of the hub is damaged.
        """
        found = [self._read(path) for path in self.path.glob(f"*{_SUFFIX}")]
        return sorted(found, key=lambda origin: origin.directory)

    def import_records(
        self,
        bundle: SignedBundle,
        on_progress: Callable[[int, int], None] | None = None,
        *,
        keys: Keys | None = None,
    ) -> Imported:
        """Add the records of a bundle to the journal of its origin. Records that it has are left alone.

        The caller holds the journal's sender lock, because records in doubt are marked after they were added.

        Args:
            bundle: from an origin.
            on_progress: called with the number of records that are done, and the number of all.
            keys: as for :meth:`origin_of`.

        Raises:
            BundleError: another key has signed the earlier bundles of this journal.
            JournalError: the journal cannot be written, or was replaced meanwhile. The bundle is not confirmed then.
        """
        fields = BundleFields.of(bundle)
        origin = self.origin_of(fields, keys)
        path = self.prepare(origin)
        identity = _identity(path)
        if not self.is_settled(origin):
            # An earlier import was killed after its records, and before they were in doubt.
            self.settle(origin)
        marked = bundle.marked()
        self._mark(origin, [record_id for record_id, doubt, _ in marked if doubt])
        records, new = bundle.import_records(os.fspath(path), on_progress=on_progress)
        self.settle(origin)
        with Journal.open(path) as journal:
            bundles = journal.bundles
            requeued = bundles.raise_rounds([(record_id, number) for record_id, _, number in marked if number])
            followups = bundle.take_followups(bundles.store)
            if _identity(path) != identity:
                raise JournalError(f"{path} was replaced meanwhile; {fields.label} is not confirmed; import it again")
            # The receipt comes last: everything of the bundle is on the disk.
            before = {hole.serial for hole in bundles.holes() if hole.repeated}
            put_back = bundle.arrive(bundles.store)
            repeated = sorted({hole.serial for hole in bundles.holes() if hole.repeated} - before)
            self._state_templates(origin, bundle.template_set())
            return Imported(
                origin,
                records,
                new,
                followups,
                requeued,
                put_back,
                missing_in(journal),
                [f"{serial:06d}" for serial in repeated],
            )

    def stated_templates(self, origin: Origin) -> bytes | None:
        """The digest of the prompt templates that an origin keeps, as its last bundle states."""
        try:
            return bytes.fromhex(read_own(self.path / f"{origin.directory}{_TEMPLATES}", 64).decode("ascii"))
        except (OSError, ValueError):
            return None

    def _state_templates(self, origin: Origin, digest: bytes | None) -> None:
        if digest == self.stated_templates(origin):
            return
        if digest is not None:
            self._write(f"{origin.directory}{_TEMPLATES}", digest.hex())
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path / f"{origin.directory}{_TEMPLATES}")

    def origin_of(self, fields: BundleFields, keys: Keys | None = None) -> Origin:
        """The origin of a bundle; a new one is stored. The first bundle binds a journal to the key of its signer.

        Args:
            fields: of the bundle.
            keys: the keys of this machine, which know the earlier keys of a signer. None: no signer has earlier ones.

        Raises:
            BundleError: another key has signed the earlier bundles of this journal, or the bundle goes to an origin.
        """
        if fields.kind != "out":
            raise BundleError(
                "it carries request ids to an origin; nothing was changed; import it there, without --hub"
            )
        origins = self.origins()
        for origin in origins:
            if origin.journal_id == fields.journal_id:
                if origin.key_id == fields.key_id and origin.name == fields.signer:
                    return origin
                earlier = keys.earlier(fields.key_id, "origin") if keys is not None else ()
                if origin.key_id not in (fields.key_id, *earlier):
                    is_namesake = origin.name == fields.signer
                    signer = f"another key, {fields.key_id}," if is_namesake else fields.signer
                    raise BundleError(
                        f"the journal {fields.journal_id[:8]} belongs to {origin.name}, and {signer} has signed the "
                        f"bundle; nothing was changed. If the machine has new keys, trust the card of `plsync keys "
                        f"rotate`, or its new card: `plsync keys trust CARD --role origin --takes-over {origin.name}`"
                    )
                renewed = replace(origin, name=fields.signer, key_id=fields.key_id)
                self._write(f"{origin.directory}{_SUFFIX}", json.dumps(asdict(renewed)))
                return renewed
        taken = {self.inbox.name, *(origin.directory for origin in origins)}
        # A whole id is longer than any name, so that no origin gets the journal of another.
        names = (fields.signer, f"{fields.signer}-{fields.journal_id[:8]}", f"{fields.signer}-{fields.journal_id}")
        directory = next(name for name in names if name not in taken)
        origin = Origin(directory, fields.signer, fields.key_id, fields.journal_id)
        self._write(f"{directory}{_SUFFIX}", json.dumps(asdict(origin)))
        return origin

    def resume(self, keys: Keys, lock: Callable[[Path], AbstractContextManager[object]]) -> None:
        """Import again the bundles whose import was interrupted.

        Args:
            keys: the keys of this machine.
            lock: the sender lock of a journal. A journal that another process has locked is left to that process.
        """
        for copy in left_in(self.inbox):
            try:
                with (
                    opened(copy, keys, self.inbox) as bundle,
                    lock(self.prepare(self.origin_of(BundleFields.of(bundle), keys))),
                ):
                    self.import_records(bundle, keys=keys)
            except JournalLocked:
                continue
            except BundleError:
                # Its key may be distrusted by now. The origin exports the records again.
                pass
            for done in (copy, copy.with_name(f"{copy.name}.minisig")):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(done)

    def is_settled(self, origin: Origin) -> bool:
        """Whether the journal of an origin exists, and :meth:`settle` has no record to put in doubt."""
        return self.journal(origin).is_dir() and not (self.path / f"{origin.directory}.doubt").exists()

    def settle(self, origin: Origin) -> None:
        """Put the records in doubt that an import has marked. The caller holds the journal's sender lock."""
        marks = self.path / f"{origin.directory}.doubt"
        try:
            text = read_own(marks, 1 << 30).decode("ascii", "replace")
        except FileNotFoundError:
            return
        with Journal.open(self.journal(origin), create=True) as journal:
            journal.ingest(wait=True)
            for line in text.split():
                record = journal.outbox.find(bytes.fromhex(line))
                if record is not None and record.state == "pending" and record.status != "pending":
                    journal.outbox.park([record.seq], "in_doubt", "the origin may have sent it")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(marks)

    def _mark(self, origin: Origin, doubtful: list[bytes]) -> None:
        if doubtful:
            # Before the records: a run after a crash puts them in doubt before it sends.
            self._write(f"{origin.directory}.doubt", "\n".join(record_id.hex() for record_id in doubtful))

    def _read(self, path: Path) -> Origin:
        try:
            found = Origin(**json.loads(read_own(path, _MOST)))
        except (ValueError, TypeError, OSError) as error:
            raise BundleError(
                f"{path} cannot be read: {error}; nothing was changed; restore it from a backup"
            ) from None
        if f"{found.directory}{_SUFFIX}" != path.name:
            raise BundleError(f"{path} names another directory; nothing was changed; restore it from a backup")
        return found

    def _write(self, name: str, text: str) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self.path / name
        temporary = temporary_beside(path)
        with open(create_new(temporary), "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)


def _identity(path: Path) -> tuple[int, int]:
    """The file that a journal has under its name. A copy that was put in its place is another one."""
    found = os.stat(path / "FORMAT")
    return found.st_dev, found.st_ino
