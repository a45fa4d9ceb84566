"""``plsync.bundle.keys``: keys stay on their machine, and only confirmed cards are trusted."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from plsync.bundle.keys import Card, Keys, is_fingerprint_of, load_card
from plsync.errors import BundleError
from plsync.journal.journal import Journal


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys(tmp_path / "data" / "keys")


def card_of(tmp_path: Path, name: str) -> Card:
    return Keys(tmp_path / f"keys of {name}").create(name)


def test_keys_are_private_files_in_the_formats_of_minisign_and_age(keys: Keys) -> None:
    card = keys.create("berlin-lab")
    assert keys.own() == card
    assert stat.S_IMODE(keys.path.stat().st_mode) == 0o700
    assert {path.name for path in keys.path.iterdir()} == {"self.card", f"{card.key_id}.minisign", f"{card.key_id}.age"}
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in keys.path.iterdir())
    identity = (keys.path / f"{card.key_id}.age").read_text()
    assert identity.startswith(f"# public key: {card.recipient}\nAGE-SECRET-KEY-1")
    assert "AGE-SECRET-KEY" not in card.text


def test_the_tools_of_the_distribution_use_the_keys(keys: Keys, tmp_path: Path) -> None:
    missing = [tool for tool in ("minisign", "age") if not shutil.which(tool)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    card = keys.create("berlin-lab")
    (tmp_path / "file").write_text("content")
    secret = str(keys.path / card.key_id)
    for command in (
        ["minisign", "-S", "-W", "-s", f"{secret}.minisign", "-m", "file"],
        ["minisign", "-V", "-P", card.public_key, "-m", "file"],
        ["age", "-r", card.recipient, "-o", "file.age", "file"],
        ["age", "-d", "-i", f"{secret}.age", "file.age"],
    ):
        done = subprocess.run(
            command, cwd=tmp_path, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout == "content"


@pytest.mark.parametrize("name", ["", "Berlin", "../berlin", "-x", "a" * 33, "a b", "é"])
def test_a_name_that_could_be_a_path_or_an_option_makes_no_keys(keys: Keys, name: str) -> None:
    with pytest.raises(BundleError, match="a name has 1 to 32 lowercase letters"):
        keys.create(name)
    assert not keys.path.exists()


def test_keys_are_made_once(keys: Keys) -> None:
    card = keys.create("berlin-lab")
    with pytest.raises(BundleError, match=r"has the keys of berlin-lab already; nothing was changed"):
        keys.create("other")
    assert keys.own() == card


def test_keys_are_never_inside_a_journal(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "journal", create=True) as journal:
        path = journal.path
    for inside in (path, path / "keys", path / "spool" / "deep" / "keys"):
        with pytest.raises(BundleError, match=r"is inside the journal .* nothing was changed"):
            Keys(inside)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no modes")
def test_a_directory_that_other_users_can_write_holds_no_keys(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.mkdir()
    path.chmod(0o777)
    with pytest.raises(BundleError, match="nothing was changed"):
        Keys(path)


@pytest.mark.skipif(os.name != "posix", reason="Windows has no modes")
def test_a_secret_key_that_other_users_can_read_is_not_used(keys: Keys) -> None:
    card = keys.create("berlin-lab")
    (keys.path / f"{card.key_id}.minisign").chmod(0o644)
    with pytest.raises(BundleError, match="other users can read"):
        keys.rotate()


def test_a_trusted_card_is_listed_until_it_is_distrusted(keys: Keys, tmp_path: Path) -> None:
    hub, origin = card_of(tmp_path, "hub-nord"), card_of(tmp_path, "berlin-lab")
    keys.trust(hub, "hub")
    keys.trust(origin, "origin")
    assert [(found.card, found.role) for found in keys.trusted()] == [(origin, "origin"), (hub, "hub")]
    with pytest.raises(BundleError, match="hub-nord is not trusted here as an origin"):
        keys.distrust("hub-nord", "origin")
    keys.distrust("hub-nord")
    assert [found.card for found in keys.trusted()] == [origin]
    with pytest.raises(BundleError, match="hub-nord is not trusted here; nothing was changed"):
        keys.find("hub-nord")


def test_another_card_of_a_trusted_name_is_refused(keys: Keys, tmp_path: Path) -> None:
    keys.trust(card_of(tmp_path, "hub-nord"), "hub")
    imposter = Keys(tmp_path / "imposter").create("hub-nord")
    with pytest.raises(BundleError, match="hub-nord is trusted already, and its key"):
        keys.trust(imposter, "hub")
    assert len(keys.trusted()) == 1


def test_the_old_key_introduces_its_successor(keys: Keys, tmp_path: Path) -> None:
    theirs = Keys(tmp_path / "theirs")
    before = theirs.create("hub-nord")
    keys.trust(before, "hub")
    after = theirs.rotate()
    assert after.replaces == before.public_key
    assert after.key_id != before.key_id
    introduced = keys.successor_of(after, "hub")
    assert introduced is not None
    assert introduced.card == before
    assert keys.successor_of(after, "origin") is None
    keys.trust(after, "hub")
    assert [found.card for found in keys.trusted()] == [after]
    # The old keys stay, because bundles on their way may need them.
    assert theirs.has(before)
    assert theirs.has(after)


def test_this_machine_is_no_peer_of_itself(keys: Keys) -> None:
    with pytest.raises(BundleError, match="berlin-lab is this machine"):
        keys.trust(keys.create("berlin-lab"), "hub")


@pytest.mark.parametrize(
    "change", [lambda text: text[:-30], lambda text: text.replace("hub", "hab"), lambda _: "x" * 5000]
)
def test_a_card_that_was_changed_is_not_read(tmp_path: Path, change: object) -> None:
    text = card_of(tmp_path, "hub-nord").text
    assert callable(change)
    (tmp_path / "card").write_text(change(text))
    with pytest.raises(BundleError, match="nothing was changed"):
        load_card(tmp_path / "card")


def test_a_fingerprint_needs_all_of_its_digits(tmp_path: Path) -> None:
    card = card_of(tmp_path, "hub-nord")
    assert is_fingerprint_of(card, card.fingerprint)
    assert is_fingerprint_of(card, card.fingerprint.upper().replace(" ", "-"))
    assert not is_fingerprint_of(card, card.fingerprint[:-1])
    assert not is_fingerprint_of(card, "")
    assert not is_fingerprint_of(card, card.fingerprint + "0")


def test_keys_that_were_half_made_are_made_anew(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
        with pytest.raises(BundleError, match="No space left on device; nothing was changed"):
            keys.create("berlin-lab")
    assert keys.own() is None
    assert keys.create("berlin-lab").name == "berlin-lab"
    assert not [path for path in keys.path.iterdir() if path.name.startswith(".")]
