"""The passphrase of the keys of this machine, typed on a terminal and never shown."""

from __future__ import annotations

import getpass
import sys

from plsync.bundle.keys import Keys
from plsync.bundle.passphrase import FILE_VARIABLE, environment_passphrase
from plsync.errors import BundleError

__all__ = ["machine_keys", "new_passphrase"]


def machine_keys() -> Keys:
    """The keys of this machine. On a terminal a person types a passphrase where one is needed.

    Raises:
        BundleError: as for :class:`Keys`.
    """
    return Keys(read_passphrase=_read)


def new_passphrase() -> str:
    """A passphrase for new keys: from the environment, else typed twice.

    Raises:
        BundleError: there is neither, or the two texts differ.
    """
    if (known := environment_passphrase()) is not None:
        return known
    if not sys.stdin.isatty():
        raise BundleError(
            f"no passphrase is set; nothing was changed; set {FILE_VARIABLE} to a file with it, or run this command on "
            f"a terminal"
        )
    typed = getpass.getpass("Passphrase for the new keys: ")
    if not typed:
        raise BundleError("the passphrase is empty; nothing was changed; leave out --passphrase for keys without one")
    if getpass.getpass("The same passphrase again: ") != typed:
        raise BundleError("the two passphrases differ; nothing was changed; enter them again")
    return typed


def _read(key_id: str) -> str | None:
    return getpass.getpass(f"Passphrase of the key {key_id}: ") if sys.stdin.isatty() else None
