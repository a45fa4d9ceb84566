"""The keys of this machine, and the keys of other machines that it trusts.

The directory is outside of every journal, because a copy of a journal must not hold a key. Its files:

- ``self.card``: the card of this machine. It names the current keys.
- ``<key id>.minisign``, ``<key id>.age``: secret keys in the formats of minisign and age. Replaced keys stay, because
  bundles on their way may need them.
- ``<name>.origin.card``, ``<name>.hub.card``: cards of trusted machines.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from plsync._common.files import admit_directory, create_new, open_any, open_own, read_own, temporary_beside
from plsync._common.native import generate_keys, make_card, read_card
from plsync._common.paths import key_directory
from plsync.errors import BundleError

__all__ = ["ROLES", "Card", "Keys", "Role", "TrustedCard", "is_fingerprint_of", "load_card"]

Role = Literal["origin", "hub"]
"""``origin``: the machine records calls, and sends them out. ``hub``: it delivers them, and sends request ids back."""

ROLES: Final[tuple[Role, ...]] = get_args(Role)

_OWN: Final = "self.card"
_MOST: Final = 4096
# A file of one byte more is refused.
_READ: Final = _MOST + 1


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


@dataclass(frozen=True)
class TrustedCard:
    """A card that a person has confirmed."""

    card: Card
    role: Role

    def as_dict(self) -> dict[str, object]:
        """The fields that commands print with ``--json``."""
        return {**self.card.as_dict(), "role": self.role}


class Keys:
    """The directory of the keys.

    Args:
        path: the directory. Default: ``PLSYNC_KEYS``, else ``keys`` in the user's data directory of plsync.

    Raises:
        BundleError: the directory is inside a journal, or other users control it.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self.path = Path(path) if path is not None else key_directory()
        absolute = Path(os.path.abspath(self.path))
        for parent in (absolute, *absolute.parents):
            if (parent / "FORMAT").exists() and (parent / "spool").exists():
                raise BundleError(
                    f"{self.path} is inside the journal {parent}, whose copies must hold no key; nothing was changed; "
                    f"choose another directory (PLSYNC_KEYS)"
                )
        # Only keys that no other user could have written are used.
        if self.path.exists():
            try:
                admit_directory(self.path)
            except OSError as error:
                raise _failed(f"{self.path} cannot hold keys", error) from None

    def own(self) -> Card | None:
        """The card of this machine; None before :meth:`create`.

        Raises:
            BundleError: the card cannot be read, or was changed.
        """
        return self._read(_OWN)

    def own_or_raise(self) -> Card:
        """The card of this machine.

        Raises:
            BundleError: there is none, or as :meth:`own`.
        """
        if (card := self.own()) is None:
            raise self._none()
        return card

    def signing_key(self) -> str:
        """The content of minisign's file of the current signing key.

        Raises:
            BundleError: there is none, or other users can read it.
        """
        return self._text(f"{self.own_or_raise().key_id}.minisign")

    def identities(self) -> list[tuple[str, str]]:
        """The key ids of this machine, replaced ones too, each with the content of age's file.

        Raises:
            BundleError: there is none, or other users can read one.
        """
        self.own_or_raise()
        return [(path.stem, self._text(path.name)) for path in sorted(self.path.glob("*.age"))]

    def next_serial(self) -> int:
        """The number of the next export.

        Raises:
            BundleError: the disk fails.
        """
        try:
            last = int(read_own(self.path / "serial", 20))
        except (OSError, ValueError):
            last = 0
        self._write("serial", str(last + 1))
        return last + 1

    def create(self, name: str) -> Card:
        """Make the keys of this machine.

        Args:
            name: its name, 1 to 32 lowercase letters, digits and hyphens.

        Raises:
            BundleError: this user has keys already, the name has another form, or the disk fails.
        """
        if (card := self.own()) is not None:
            raise self._exist(card)
        signing_key, identity = generate_keys()
        return self._store(Card.parse(make_card(name, signing_key, identity)), signing_key, identity, new=True)

    def rotate(self) -> Card:
        """Replace the keys of this machine. The old key signs the new card.

        Raises:
            BundleError: this user has no keys, a file cannot be read, or the disk fails.
        """
        card = self.own_or_raise()
        old = self._text(f"{card.key_id}.minisign")
        signing_key, identity = generate_keys()
        successor = Card.parse(make_card(card.name, signing_key, identity, old))
        return self._store(successor, signing_key, identity, new=False)

    def has(self, card: Card) -> bool:
        """Whether a card is of this machine, with present or replaced keys."""
        return (self.path / f"{card.key_id}.minisign").exists()

    def trusted(self) -> list[TrustedCard]:
        """The trusted cards, sorted by name and role.

        Raises:
            BundleError: a card cannot be read, or was changed.
        """
        found = []
        for role in ROLES:
            for path in sorted(self.path.glob(f"*.{role}.card")):
                if (card := self._read(path.name)) is not None:
                    found.append(TrustedCard(card, role))
        return sorted(found, key=lambda trusted: (trusted.card.name, trusted.role))

    def find(self, name: str, role: Role | None = None) -> list[TrustedCard]:
        """The trusted cards of a name, in one role or in both.

        Raises:
            BundleError: no such card is trusted, or as :meth:`trusted`.
        """
        found = [t for t in self.trusted() if t.card.name == name and role in (None, t.role)]
        if not found:
            where = "" if role is None else f" as {_article(role)}"
            raise BundleError(
                f"{name} is not trusted here{where}; nothing was changed; `plsync keys list` lists the cards"
            )
        return found

    def successor_of(self, card: Card, role: Role) -> TrustedCard | None:
        """The trusted card whose key signed ``card`` as its successor."""
        for trusted in self.trusted():
            if trusted.role == role and card.replaces == trusted.card.public_key and card.name == trusted.card.name:
                return trusted
        return None

    def check(self, card: Card, role: Role) -> None:
        """Check that a card can be trusted beside the present ones.

        Raises:
            BundleError: it is the card of this machine, or its name or key id belongs to another trusted key.
        """
        if self.has(card):
            raise BundleError(f"{card.name} is this machine; nothing was changed; trust the card of the other machine")
        for trusted in self.trusted():
            other = trusted.card
            is_same = other.public_key == card.public_key
            if other.key_id == card.key_id and not (is_same and other.name == card.name):
                raise BundleError(
                    f"key {card.key_id} is trusted already, of {other.name}; nothing was changed; the owner of one of "
                    f"them must make other keys"
                )
            is_successor = card.replaces == other.public_key
            if other.name == card.name and trusted.role == role and not is_same and not is_successor:
                raise BundleError(
                    f"{card.name} is trusted already, and its key {other.key_id} has not signed this card; nothing was "
                    f"changed. If the machine has new keys, get the card that `plsync keys rotate` wrote there. Or "
                    f"first run `plsync keys distrust {card.name}`"
                )

    def trust(self, card: Card, role: Role) -> TrustedCard:
        """Trust a card from now on. The caller has compared the fingerprint with the owner's.

        Args:
            card: the card of another machine.
            role: its role.

        Raises:
            BundleError: as :meth:`check`, or the disk fails.
        """
        self.check(card, role)
        self._write(f"{card.name}.{role}.card", card.text)
        return TrustedCard(card, role)

    def distrust(self, name: str, role: Role | None = None) -> list[TrustedCard]:
        """Trust the cards of a name no longer.

        Raises:
            BundleError: as :meth:`find`, or the disk fails.
        """
        found = self.find(name, role)
        for trusted in found:
            with self._disk(f"{name} is still trusted"):
                os.unlink(self.path / f"{name}.{trusted.role}.card")
        return found

    def _store(self, card: Card, signing_key: str, identity: str, *, new: bool) -> Card:
        self._write(f"{card.key_id}.minisign", signing_key)
        self._write(f"{card.key_id}.age", identity)
        # The card comes last: before it, no command uses the new keys.
        try:
            self._write(_OWN, card.text, new=new)
        except FileExistsError:
            raise self._exist(self.own()) from None
        return card

    def _write(self, name: str, text: str, *, new: bool = False) -> None:
        path = self.path / name
        with self._disk(f"cannot write {path}"):
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            temporary = temporary_beside(path)
            try:
                with open(create_new(temporary), "wb") as file:
                    file.write(text.encode())
                    file.flush()
                    os.fsync(file.fileno())
                if new and os.name == "posix":
                    # Unlike a rename, a link replaces no file.
                    os.link(temporary, path)
                else:
                    os.replace(temporary, path)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
            _sync_directory(self.path)

    def _read(self, name: str) -> Card | None:
        try:
            text = read_own(self.path / name, _READ)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _failed(f"cannot read {self.path / name}", error) from None
        return _parsed(text, self.path / name)

    def _text(self, name: str) -> str:
        path = self.path / name
        try:
            with open(open_own(path), "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read(_READ)
        except OSError as error:
            raise _failed(f"cannot read {path}", error) from None
        if os.name == "posix" and mode & 0o077:
            raise BundleError(
                f"other users can read {path}; nothing was changed; run `chmod 600`, and `plsync keys rotate`"
            )
        return text.decode("ascii", "replace")

    @contextlib.contextmanager
    def _disk(self, failure: str) -> Iterator[None]:
        try:
            yield
        except FileExistsError:
            raise
        except OSError as error:
            raise _failed(failure, error) from None

    def _exist(self, card: Card | None) -> BundleError:
        owner = "" if card is None else f" of {card.name}"
        return BundleError(
            f"{self.path} has the keys{owner} already; nothing was changed; `plsync keys show` prints their card, and "
            f"`plsync keys rotate` replaces them"
        )

    def _none(self) -> BundleError:
        return BundleError(f"{self.path} has no keys; nothing was changed; run `plsync keys init --name NAME` first")


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
        raise _failed(f"cannot read {path}", error) from None
    return _parsed(text, Path(path))


def is_fingerprint_of(card: Card, fingerprint: str) -> bool:
    """Whether a fingerprint that a person typed is the card's, with all digits. Case, blanks and hyphens may differ."""
    typed = "".join(character for character in fingerprint.lower() if character not in " :-\t")
    return typed == card.fingerprint.replace(" ", "")


def _parsed(text: bytes, path: Path) -> Card:
    if len(text) > _MOST:
        raise BundleError(f"{path} is not a card of plsync: it is longer than 4 KiB; nothing was changed")
    try:
        return Card.parse(text.decode("ascii", "replace"))
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from None


def _article(role: Role) -> str:
    return "an origin" if role == "origin" else "a hub"


def _failed(failure: str, error: OSError) -> BundleError:
    reason = error.strerror or os.strerror(error.errno or errno.EIO)
    return BundleError(f"{failure}: {reason}; nothing was changed; PLSYNC_KEYS names another directory for keys")


def _sync_directory(path: Path) -> None:
    if sys.platform != "win32":
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
