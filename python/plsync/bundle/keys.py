"""The keys of this machine, and the keys of other machines that it trusts.

The directory is outside of every journal, because a copy of a journal must not hold a key. Its files:

- ``self.card``: the card of this machine. It names the current keys.
- ``<key id>.minisign``, ``<key id>.age``: secret keys in the formats of minisign and age. Replaced keys stay, because
  bundles on their way may need them.
- ``<name>.origin.card``, ``<name>.hub.card``: cards of trusted machines.
- ``<name>.<role>.earlier``: the ids of the keys that a trusted machine had before, one in a line.

A passphrase protects the secret keys by scrypt, if the user wants it, in the forms of minisign and age.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from plsync._common.files import admit_directory, create_new, open_own, read_own, temporary_beside
from plsync._common.native import generate_keys, lock_keys, make_card, unlock_identity, unlock_signing_key
from plsync._common.paths import key_directory
from plsync.bundle.cards import MOST, Card, disk_failure, is_fingerprint_of, load_card, parsed
from plsync.bundle.passphrase import Passphrases, ReadPassphrase, is_locked
from plsync.errors import BundleError
from plsync.journal.journal import Journal

__all__ = ["ROLES", "Card", "Keys", "Role", "TrustedCard", "hub_number", "is_fingerprint_of", "load_card"]

Role = Literal["origin", "hub"]
"""``origin``: the machine records calls, and sends them out. ``hub``: it delivers them, and sends request ids back."""

ROLES: Final[tuple[Role, ...]] = get_args(Role)

_OWN: Final = "self.card"
# A file of one byte more is refused.
_READ: Final = MOST + 1
# Earlier keys of a machine that are remembered.
_EARLIER: Final = 64


@dataclass(frozen=True)
class TrustedCard:
    """A card that a person has confirmed."""

    card: Card
    role: Role
    earlier: tuple[str, ...] = ()
    """The ids of the keys that the machine had before, the last one first."""

    def has(self, key_id: str) -> bool:
        """Whether the machine has a key now, or had it before."""
        return key_id in (self.card.key_id, self.card.replaced_key_id, *self.earlier)

    def as_dict(self) -> dict[str, object]:
        """The fields that commands print with ``--json``."""
        return {**self.card.as_dict(), "role": self.role}


class Keys:
    """The directory of the keys.

    Args:
        path: the directory. Default: ``PLSYNC_KEYS``, else ``keys`` in the user's data directory of plsync.
        read_passphrase: reads the passphrase of a key from a person; None without a person. A passphrase in the
            environment is used first.

    Raises:
        BundleError: the directory is inside a journal, or other users control it.
    """

    def __init__(
        self, path: str | os.PathLike[str] | None = None, read_passphrase: ReadPassphrase | None = None
    ) -> None:
        self.path = Path(path) if path is not None else key_directory()
        self._passphrases = Passphrases(read_passphrase)
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
                raise disk_failure(f"{self.path} cannot hold keys", error) from None

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
        """The content of minisign's file of the current signing key, without a passphrase.

        Raises:
            BundleError: there is none, other users can read it, or the passphrase is wrong or missing.
        """
        return self._secret(self.own_or_raise().key_id, "minisign", unlock_signing_key)

    def key_ids(self) -> list[str]:
        """The ids of the keys of this machine, replaced ones too.

        Raises:
            BundleError: there is none.
        """
        self.own_or_raise()
        return [path.stem for path in sorted(self.path.glob("*.age"))]

    def identity(self, key_id: str) -> str:
        """The content of age's file of a key of this machine, without a passphrase.

        Raises:
            BundleError: other users can read it, or the passphrase is wrong or missing.
        """
        return self._secret(key_id, "age", unlock_identity)

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

    def check_absent(self) -> None:
        """Check that this user has no keys yet.

        Raises:
            BundleError: this user has keys already.
        """
        if (card := self.own()) is not None:
            raise self._exist(card)

    def create(self, name: str, passphrase: str | None = None) -> Card:
        """Make the keys of this machine.

        Args:
            name: its name, 1 to 32 lowercase letters, digits and hyphens.
            passphrase: protects the keys; None for keys without one.

        Raises:
            BundleError: this user has keys already, the name has another form, or the disk fails.
        """
        self.check_absent()
        signing_key, identity = generate_keys()
        card = Card.parse(make_card(name, signing_key, identity))
        return self._store(card, *_locked(signing_key, identity, passphrase), new=True)

    def rotate(self, passphrase: str | None = None) -> Card:
        """Replace the keys of this machine. The old key signs the new card.

        Args:
            passphrase: protects the new keys; None for the passphrase of the old keys, if they have one.

        Raises:
            BundleError: this user has no keys, a file cannot be read, the disk fails, or the passphrase is wrong.
        """
        card = self.own_or_raise()
        old = self.signing_key()
        signing_key, identity = generate_keys()
        successor = Card.parse(make_card(card.name, signing_key, identity, old))
        passphrase = passphrase or self._passphrases.of(card.key_id)
        return self._store(successor, *_locked(signing_key, identity, passphrase), new=False)

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
                    found.append(TrustedCard(card, role, self._earlier(card.name, role)))
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

    def earlier(self, key_id: str, role: Role) -> tuple[str, ...]:
        """The ids of the keys that a trusted machine had before, by the id of its present key."""
        found = [t for t in self.trusted() if t.role == role and t.card.key_id == key_id]
        replaced = [t.card.replaced_key_id for t in found if t.card.replaced_key_id is not None]
        return tuple(dict.fromkeys([*(key_id for t in found for key_id in t.earlier), *replaced]))

    def check(self, card: Card, role: Role, takes_over: str | None = None) -> None:
        """Check that a card can be trusted beside the present ones.

        Args:
            card: the card of another machine.
            role: its role.
            takes_over: the trusted machine whose place it takes.

        Raises:
            BundleError: it is the card of this machine, or its name or key id belongs to another trusted key.
        """
        if self.has(card):
            raise BundleError(f"{card.name} is this machine; nothing was changed; trust the card of the other machine")
        if takes_over is not None:
            self.find(takes_over, role)
        for trusted in self.trusted():
            other = trusted.card
            is_same = other.public_key == card.public_key
            if other.key_id == card.key_id and not (is_same and other.name == card.name):
                raise BundleError(
                    f"key {card.key_id} is trusted already, of {other.name}; nothing was changed; the owner of one of "
                    f"them must make other keys"
                )
            is_successor = card.replaces == other.public_key
            is_known = is_same or is_successor or takes_over == other.name
            if other.name == card.name and trusted.role == role and not is_known:
                raise BundleError(
                    f"{card.name} is trusted already, and its key {other.key_id} has not signed this card; nothing was "
                    f"changed. If the machine has new keys, get the card that `plsync keys rotate` wrote there. If its "
                    f"keys are lost, use --takes-over {card.name}"
                )

    def trust(self, card: Card, role: Role, takes_over: str | None = None) -> TrustedCard:
        """Trust a card from now on. The caller has compared the fingerprint with the owner's.

        Args:
            card: the card of another machine.
            role: its role.
            takes_over: the trusted machine whose place it takes, with its journals. That machine is trusted no longer.

        Raises:
            BundleError: as :meth:`check`, or the disk fails.
        """
        self.check(card, role, takes_over)
        before = [t for t in self.trusted() if t.role == role and t.card.name in (card.name, takes_over)]
        earlier: list[str] = []
        for trusted in before:
            present = [] if trusted.card.key_id == card.key_id else [trusted.card.key_id]
            earlier += [key_id for key_id in (*present, *trusted.earlier) if key_id not in earlier]
        earlier = earlier[:_EARLIER]
        if earlier:
            # Before the card: a card without it would be a machine without a past.
            self._write(f"{card.name}.{role}.earlier", "".join(f"{key_id}\n" for key_id in earlier))
        self._write(f"{card.name}.{role}.card", card.text)
        if takes_over is not None and takes_over != card.name:
            self.distrust(takes_over, role)
        return TrustedCard(card, role, tuple(earlier))

    def distrust(self, name: str, role: Role | None = None) -> list[TrustedCard]:
        """Trust the cards of a name no longer.

        Raises:
            BundleError: as :meth:`find`, or the disk fails.
        """
        found = self.find(name, role)
        for trusted in found:
            with self._disk(f"{name} is still trusted"):
                os.unlink(self.path / f"{name}.{trusted.role}.card")
            with contextlib.suppress(OSError):
                os.unlink(self.path / f"{name}.{trusted.role}.earlier")
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
            raise disk_failure(f"cannot read {self.path / name}", error) from None
        return parsed(text, self.path / name)

    def _earlier(self, name: str, role: Role) -> tuple[str, ...]:
        try:
            text = read_own(self.path / f"{name}.{role}.earlier", _READ).decode("ascii", "replace")
        except FileNotFoundError:
            return ()
        except OSError as error:
            raise disk_failure(f"cannot read the earlier keys of {name}", error) from None
        return tuple(text.split()[:_EARLIER])

    def _secret(self, key_id: str, suffix: str, unlock: Callable[[str, str], str | None]) -> str:
        text = self._text(f"{key_id}.{suffix}")
        return self._passphrases.unlocked(key_id, text, unlock) if is_locked(text) else text

    def _text(self, name: str) -> str:
        path = self.path / name
        try:
            with open(open_own(path), "rb") as file:
                mode = os.fstat(file.fileno()).st_mode
                text = file.read(_READ)
        except OSError as error:
            raise disk_failure(f"cannot read {path}", error) from None
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
            raise disk_failure(failure, error) from None

    def _exist(self, card: Card | None) -> BundleError:
        owner = "" if card is None else f" of {card.name}"
        return BundleError(
            f"{self.path} has the keys{owner} already; nothing was changed; `plsync keys show` prints their card, and "
            f"`plsync keys rotate` replaces them"
        )

    def _none(self) -> BundleError:
        return BundleError(f"{self.path} has no keys; nothing was changed; run `plsync keys init --name NAME` first")


def hub_number(journal: Journal, keys: Keys, hub: Card) -> int:
    """The number of a hub in a journal. A hub with new keys keeps its number, if its earlier keys are known."""
    known = journal.bundles.hubs()
    replaced = next((key_id for key_id in keys.earlier(hub.key_id, "hub") if key_id in known), None)
    return journal.bundles.hub(hub.key_id, replaced)


def _locked(signing_key: str, identity: str, passphrase: str | None) -> tuple[str, str]:
    return (signing_key, identity) if passphrase is None else lock_keys(signing_key, identity, passphrase)


def _article(role: Role) -> str:
    return "an origin" if role == "origin" else "a hub"


def _sync_directory(path: Path) -> None:
    if sys.platform != "win32":
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
