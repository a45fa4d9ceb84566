"""Cards: the public halves of the keys of machines."""

from __future__ import annotations

import base64
import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from plsync._common.files import open_any
from plsync._common.native import read_card
from plsync.errors import BundleError

__all__ = ["MOST", "Card", "disk_failure", "is_fingerprint_of", "load_card", "parsed"]

MOST: Final = 4096
"""Bytes of a card or a key file, at most."""

# A file of one byte more is refused.
_READ: Final = MOST + 1


@dataclass(frozen=True)
class Card:
    """The public half of a machine's keys."""

    name: str
    """The machine's name: lowercase letters, digits and hyphens."""
    key_id: str
    """The id of the signing key, as minisign prints it. It finds a key, and proves nothing."""
    public_key: str
    """The signing key, as ``minisign -P`` takes it."""
    recipient: str
    """The recipient for encryption, as ``age -r`` takes it."""
    fingerprint: str
    """24 hexadecimal digits in six groups, over name, signing key and recipient."""
    replaces: str | None
    """The signing key that it replaces, which signed the card too."""
    text: str
    """The file."""

    @property
    def replaced_key_id(self) -> str | None:
        """The id of the signing key that it replaces."""
        if self.replaces is None:
            return None
        # minisign's public key: two letters, the id, the key.
        return f"{int.from_bytes(base64.b64decode(self.replaces)[2:10], 'little'):016X}"

    @classmethod
    def parse(cls, text: str) -> Card:
        """The card of a text.

        Raises:
            BundleError: the text is no card, or was changed.
        """
        return cls(text=text, **read_card(text))

    def as_dict(self) -> dict[str, object]:
        """The fields that commands print with ``--json``."""
        names = ("name", "key_id", "public_key", "recipient", "fingerprint")
        return {name: getattr(self, name) for name in names}


def load_card(path: str | os.PathLike[str]) -> Card:
    """The card in a file that the user named.

    Raises:
        BundleError: the file cannot be read, is no card, or was changed.
    """
    try:
        # Of any owner: media have other owners, and a card carries its signature.
        with open(open_any(os.path.realpath(path)), "rb") as file:
            text = file.read(_READ)
    except OSError as error:
        raise BundleError(
            f"cannot read {path}: {error.strerror}; nothing was changed; name the file of the other machine's card"
        ) from None
    return parsed(text, Path(path))


def is_fingerprint_of(card: Card, fingerprint: str) -> bool:
    """Whether a fingerprint that a person typed is the card's, with all digits. Case, blanks and hyphens may differ."""
    typed = "".join(character for character in fingerprint.lower() if character not in " :-\t")
    return typed == card.fingerprint.replace(" ", "")


def parsed(text: bytes, path: Path) -> Card:
    """The card in the bytes of a file.

    Raises:
        BundleError: they are no card, or were changed.
    """
    if len(text) > MOST:
        raise BundleError(f"{path} is not a card of plsync: it is longer than 4 KiB; nothing was changed")
    try:
        return Card.parse(text.decode("ascii", "replace"))
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from None


def disk_failure(failure: str, error: OSError) -> BundleError:
    """The error for a file of keys that cannot be read or written."""
    reason = error.strerror or os.strerror(error.errno or errno.EIO)
    return BundleError(f"{failure}: {reason}; nothing was changed; PLSYNC_KEYS names another directory for keys")
