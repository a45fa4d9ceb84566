"""Keys that a passphrase protects, in the forms of minisign and age."""

from __future__ import annotations

import functools
import os
import pty
import select
import shutil
import subprocess
from pathlib import Path

import pytest

from plsync._common.native import lock_keys, unlock_signing_key
from plsync.bundle.keys import Card, Keys
from plsync.errors import BundleError
from tests.support.commands import PLSYNC, environment
from tests.support.gap import Gap

PASSPHRASE = "correct horse battery"  # noqa: S105 - of keys that the tests make


# The usual cost is half a second for each use of a passphrase.
CHEAP = functools.partial(lock_keys, log_n=10)
# A key of minisign takes 1 GiB of memory and some seconds. `make crash` reads one.
SLOW = pytest.mark.skipif(not os.environ.get("PLSYNC_BUNDLE_KILLS"), reason="`make crash` runs it")


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Card]:
    """The directory of locked keys."""
    path = tmp_path_factory.mktemp("locked") / "keys"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("plsync.bundle.keys.lock_keys", CHEAP)
        return path, Keys(path).create("hub-nord", PASSPHRASE)


@pytest.fixture
def locked(machine: tuple[Path, Card], tmp_path: Path) -> tuple[Path, Card]:
    path, card = machine
    return Path(shutil.copytree(path, tmp_path / "locked")), card


@pytest.fixture(autouse=True)
def _no_passphrase(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PLSYNC_KEYS_PASSPHRASE", "PLSYNC_KEYS_PASSPHRASE_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("plsync.bundle.keys.lock_keys", CHEAP)


def test_a_file_of_a_key_shows_nothing_of_it(locked: tuple[Path, Card]) -> None:
    path, card = locked
    age = (path / f"{card.key_id}.age").read_text()
    assert age.startswith("-----BEGIN AGE ENCRYPTED FILE-----\n")
    assert "AGE-SECRET-KEY" not in age
    minisign = (path / f"{card.key_id}.minisign").read_text()
    assert minisign.splitlines()[0] == f"untrusted comment: minisign encrypted secret key {card.key_id} of plsync"
    assert all((path / name).stat().st_mode & 0o077 == 0 for name in (f"{card.key_id}.age", f"{card.key_id}.minisign"))


def test_only_the_passphrase_opens_the_keys(locked: tuple[Path, Card], monkeypatch: pytest.MonkeyPatch) -> None:
    path, card = locked
    with pytest.raises(BundleError, match=r"a passphrase protects the key .* set PLSYNC_KEYS_PASSPHRASE_FILE"):
        Keys(path).signing_key()
    monkeypatch.setenv("PLSYNC_KEYS_PASSPHRASE", "wrong")
    with pytest.raises(BundleError, match=r"the passphrase of the key .* is another one; nothing was changed; correct"):
        Keys(path).identity(card.key_id)
    file = path.parent / "passphrase"
    file.write_text(f"{PASSPHRASE}\n")
    monkeypatch.setenv("PLSYNC_KEYS_PASSPHRASE_FILE", str(file))
    with pytest.raises(BundleError, match="are both set"):
        Keys(path).signing_key()
    monkeypatch.delenv("PLSYNC_KEYS_PASSPHRASE")
    assert "RWRTY" not in Keys(path).signing_key()
    assert "AGE-SECRET-KEY-1" in Keys(path).identity(card.key_id)
    file.write_text("\n")
    with pytest.raises(BundleError, match="has no passphrase in its first line"):
        Keys(path).signing_key()
    monkeypatch.setenv("PLSYNC_KEYS_PASSPHRASE_FILE", str(path / "none"))
    with pytest.raises(BundleError, match="cannot be read: No such file"):
        Keys(path).signing_key()


def test_a_person_types_again_after_a_wrong_passphrase(locked: tuple[Path, Card]) -> None:
    path, card = locked
    prompts, answers = [], iter(["wrong", PASSPHRASE])

    def read(key_id: str) -> str:
        prompts.append(key_id)
        return next(answers)

    keys = Keys(path, read)
    first = keys.signing_key()
    assert prompts == [card.key_id, card.key_id]
    # A process needs it once.
    assert keys.signing_key() == first
    assert "AGE-SECRET-KEY-1" in keys.identity(card.key_id)
    assert len(prompts) == 2


def test_new_keys_have_the_passphrase_of_the_old(locked: tuple[Path, Card], monkeypatch: pytest.MonkeyPatch) -> None:
    path, card = locked
    monkeypatch.setenv("PLSYNC_KEYS_PASSPHRASE", PASSPHRASE)
    keys = Keys(path)
    successor = keys.rotate()
    assert successor.replaces == card.public_key
    for key_id in (card.key_id, successor.key_id):
        assert "AGE-SECRET-KEY-1" not in (path / f"{key_id}.age").read_text()
        assert "AGE-SECRET-KEY-1" in keys.identity(key_id)


def test_a_hub_with_locked_keys_imports_and_exports(
    gap: Gap, locked: tuple[Path, Card], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, card = locked
    lab = gap.lab_keys.own_or_raise()
    shutil.rmtree(gap.hub / "keys")
    shutil.move(path, gap.hub / "keys")
    Keys(gap.hub / "keys").trust(lab, "origin")
    gap.lab_keys.trust(card, "hub", takes_over="hub-nord")
    gap.record(1)
    gap.out()
    gap.into_hub(code=1)
    assert "a passphrase protects the key" in gap.errors
    monkeypatch.setenv("PLSYNC_KEYS_PASSPHRASE", PASSPHRASE)
    assert gap.into_hub()[0]["new"] == 1
    gap.back()
    # The origin's own key needs no passphrase, and its bundles back are not encrypted.
    monkeypatch.delenv("PLSYNC_KEYS_PASSPHRASE")
    assert gap.into_lab()[0]["received"] == 1


def dialogue(directory: Path, arguments: list[str], *answers: str) -> str:
    """The output of a command on a terminal, which gets each answer after its prompt."""
    controller, terminal = pty.openpty()
    variables = environment(directory / "journal", TERM="xterm", COLUMNS="120", PLSYNC_KEYS=str(directory / "keys"))
    text, waiting = "", list(answers)
    with subprocess.Popen(
        [str(PLSYNC), *arguments], env=variables, stdin=terminal, stdout=terminal, stderr=terminal, cwd=directory
    ) as process:
        os.close(terminal)
        try:
            while select.select([controller], [], [], 30)[0] and (part := os.read(controller, 65536)):
                text += part.decode()
                if waiting and text.endswith(": "):
                    os.write(controller, f"{waiting.pop(0)}\n".encode())
        except OSError:  # the end of the other side
            pass
        process.kill()
    os.close(controller)
    assert not waiting, text
    return text


def test_a_terminal_reads_it_twice_and_shows_nothing(tmp_path: Path) -> None:
    arguments = ["keys", "init", "--name", "lab", "--passphrase"]
    shown = dialogue(tmp_path, arguments, PASSPHRASE, "other")
    assert "the two passphrases differ; nothing was changed" in shown
    assert not (tmp_path / "keys").exists()
    shown = dialogue(tmp_path, arguments, PASSPHRASE, PASSPHRASE)
    assert "Passphrase for the new keys: " in shown
    assert PASSPHRASE not in shown
    assert "fingerprint" in shown


def test_a_script_without_a_passphrase_makes_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gap: Gap) -> None:
    shutil.rmtree(gap.lab / "keys")
    gap.at(gap.lab, "keys", "init", "--name", "lab", "--passphrase", code=1)
    assert "no passphrase is set; nothing was changed; set PLSYNC_KEYS_PASSPHRASE_FILE" in gap.errors
    assert not (gap.lab / "keys").exists()
    file = tmp_path / "passphrase"
    file.write_text(PASSPHRASE)
    monkeypatch.setenv("PLSYNC_KEYS_PASSPHRASE_FILE", str(file))
    [made] = gap.at(gap.lab, "keys", "init", "--name", "lab", "--passphrase")
    assert PASSPHRASE not in str(made)


def test_the_tools_of_the_distribution_open_the_keys(locked: tuple[Path, Card], tmp_path: Path) -> None:
    missing = [tool for tool in ("minisign", "age") if not shutil.which(tool)]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    path, card = locked
    (tmp_path / "file").write_text("content")
    sign = ["minisign", "-S", "-s", str(path / f"{card.key_id}.minisign"), "-m", str(tmp_path / "file")]
    done = subprocess.run(sign, input=f"{PASSPHRASE}\n", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    subprocess.run(["minisign", "-V", "-P", card.public_key, "-m", str(tmp_path / "file")], check=True)  # noqa: S607


@SLOW
def test_a_key_that_minisign_has_locked_is_read(keys_of_minisign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = keys_of_minisign.read_text()
    opened = unlock_signing_key(text, PASSPHRASE)
    assert opened is not None
    assert unlock_signing_key(text, "wrong") is None


@pytest.fixture
def keys_of_minisign(tmp_path: Path) -> Path:
    if not shutil.which("minisign"):
        pytest.skip("not installed: minisign")
    make = ["minisign", "-G", "-p", str(tmp_path / "key.pub"), "-s", str(tmp_path / "key")]
    typed = f"{PASSPHRASE}\n{PASSPHRASE}\n"
    subprocess.run(make, input=typed, capture_output=True, text=True, check=True)
    return tmp_path / "key"
