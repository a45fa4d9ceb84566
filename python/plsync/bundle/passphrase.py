"""The passphrase that protects the secret keys of a machine: from the environment, or from a person."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeAlias

from plsync._common.files import read_named
from plsync.errors import BundleError

__all__ = ["FILE_VARIABLE", "VARIABLE", "Passphrases", "ReadPassphrase", "environment_passphrase", "is_locked"]

VARIABLE: Final = "PLSYNC_KEYS_PASSPHRASE"
FILE_VARIABLE: Final = "PLSYNC_KEYS_PASSPHRASE_FILE"

ReadPassphrase: TypeAlias = Callable[[str], "str | None"]
"""Reads the passphrase of a key, by its id, from a person. Returns None without a terminal."""

_LONGEST: Final = 1024
_TRIES: Final = 3
_AGE: Final = "-----BEGIN AGE ENCRYPTED FILE-----"
# minisign's algorithms in base64: Ed25519, scrypt.
_MINISIGN: Final = "RWRTY"


def is_locked(text: str) -> bool:
    """Whether a passphrase protects a file of a key.

    >>> is_locked("untrusted comment: a key\\nRWRTY0IyAAAA\\n")
    True
    >>> is_locked("AGE-SECRET-KEY-1...")
    False
    """
    lines = text.splitlines()
    return text.startswith(_AGE) or (len(lines) > 1 and lines[1].startswith(_MINISIGN))


def environment_passphrase() -> str | None:
    """The passphrase of ``PLSYNC_KEYS_PASSPHRASE``, or of the first line of the file that ``..._FILE`` names.

    Raises:
        BundleError: both are set, or the file cannot be read or is empty.
    """
    value, file = os.environ.get(VARIABLE), os.environ.get(FILE_VARIABLE)
    if value and file:
        raise BundleError(f"{VARIABLE} and {FILE_VARIABLE} are both set; nothing was changed; unset one of them")
    if not file:
        return value or None
    try:
        content = read_named(Path(file), _LONGEST + 1)
    except OSError as error:
        raise BundleError(
            f"{file} cannot be read: {error.strerror}; nothing was changed; {FILE_VARIABLE} names the file of the "
            f"passphrase"
        ) from None
    line = content.decode("utf-8", "surrogateescape").splitlines()[:1]
    if not line or not line[0] or len(content) > _LONGEST:
        raise BundleError(f"{file} has no passphrase in its first line; nothing was changed")
    return line[0]


class Passphrases:
    """The passphrases of keys, which stay in the memory of this process.

    Args:
        read: reads a passphrase from a person.
    """

    def __init__(self, read: ReadPassphrase | None) -> None:
        self._read = read
        self._known: dict[str, str] = {}
        self._opened: dict[str, str] = {}

    def of(self, key_id: str) -> str | None:
        """The passphrase that has opened a key; None for a key without one."""
        return self._known.get(key_id)

    def unlocked(self, key_id: str, text: str, unlock: Callable[[str, str], str | None]) -> str:
        """A file of a key without its passphrase.

        Args:
            key_id: of the key.
            text: the file.
            unlock: returns the file without a passphrase, or None for a wrong passphrase.

        Raises:
            BundleError: the passphrase is wrong, or there is none.
        """
        if (opened := self._opened.get(text)) is not None:
            return opened
        was_tried = False
        for passphrase in self._candidates(key_id):
            was_tried = True
            if (opened := unlock(text, passphrase)) is not None:
                self._known[key_id] = passphrase
                self._opened[text] = opened
                return opened
        if was_tried:
            raise BundleError(
                f"the passphrase of the key {key_id} is another one; nothing was changed; {self._remedy()}"
            )
        raise BundleError(
            f"a passphrase protects the key {key_id}; nothing was changed; set {FILE_VARIABLE} to a file with it, or "
            f"run this command on a terminal"
        )

    def _candidates(self, key_id: str) -> Iterator[str]:
        # A key that was replaced may have another passphrase.
        known = dict.fromkeys([*self._known.values(), *filter(None, [environment_passphrase()])])
        yield from known
        if self._read is not None and environment_passphrase() is None:
            for _ in range(_TRIES):
                if (typed := self._read(key_id)) is None:
                    return
                yield typed

    def _remedy(self) -> str:
        set_by = next((name for name in (VARIABLE, FILE_VARIABLE) if os.environ.get(name)), None)
        return "enter it again" if set_by is None else f"correct {set_by}"
