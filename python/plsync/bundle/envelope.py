"""The fields of a bundle beside its content, and its file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from plsync._common.clock import now_ms
from plsync._common.native import BundleWriter
from plsync.bundle import medium
from plsync.bundle.keys import Card, Keys
from plsync.bundle.medium import WrittenFile
from plsync.errors import BundleError

__all__ = ["Envelope", "new_writer"]


@dataclass(frozen=True)
class Envelope:
    """The fields of a bundle beside its content."""

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
    templates: bytes | None = None
    """The digest of the prompt templates that the bundle has, or that the origin keeps."""

    def seal(
        self,
        writer: BundleWriter,
        serial: int,
        part: tuple[int, int],
        *,
        recent: Sequence[tuple[bytes, int]] = (),
        repeats: Sequence[bytes] = (),
    ) -> bytes:
        """End a bundle, and return its id.

        Args:
            writer: has the records, or the log.
            serial: the number of the export.
            part: the number of the part, and of all parts.
            recent: earlier bundles, each with the number of its export.
            repeats: earlier bundles whose records this bundle has again.
        """
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
            "recent": list(recent),
            "repeats": list(repeats),
            "log": self.log,
            "templates": self.templates,
        }
        return writer.seal(fields)

    def write(self, writer: BundleWriter, directory: Path, serial: int, part: tuple[int, int]) -> WrittenFile:
        """Write the file of a bundle that has ended.

        Raises:
            BundleError: the medium cannot be written.
        """
        suffix = ".tar" if self.recipient is None else ".tar.age"
        parts = f"-{part[0]}of{part[1]}" if self.kind == "out" else ""
        return medium.write(directory, f"plsync-{self.name}-{serial:06d}{parts}{suffix}", writer.write)


@contextlib.contextmanager
def new_writer(directory: Path) -> Iterator[BundleWriter]:
    """A writer whose scratch file in a private directory disappears with it.

    Raises:
        BundleError: the file cannot be written.
    """
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
