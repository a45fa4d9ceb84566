"""The token of a page: where it is kept, who can read it, and when it changes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from plsync.errors import ConfigError
from plsync.ui.tokens import state_directory, token_of
from tests.support.users import STRANGER, as_user, needs_root


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


def files() -> list[Path]:
    return sorted(state_directory().iterdir())


def test_a_token_has_256_bits_and_stays_the_same_for_a_journal(tmp_path: Path) -> None:
    token = token_of(tmp_path / "a")
    assert len(token) == 43
    assert token_of(tmp_path / "a") == token
    assert token_of(tmp_path / "b") != token
    assert token_of(tmp_path / "x" / ".." / "a") == token


def test_a_new_token_replaces_the_old_one(tmp_path: Path) -> None:
    token = token_of(tmp_path / "a")
    renewed = token_of(tmp_path / "a", renew=True)
    assert renewed != token
    assert token_of(tmp_path / "a") == renewed


@pytest.mark.skipif(os.name != "posix", reason="modes of files")
def test_no_other_user_can_read_a_token(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        token = token_of(tmp_path / "a")
    finally:
        os.umask(before)
    (file,) = files()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    file.chmod(0o644)
    assert token_of(tmp_path / "a") != token


@pytest.mark.parametrize("content", [b"", b"short", b"x" * 42, b"x" * 44, b"\xff" * 43, b"a\n" * 30])
def test_a_damaged_token_is_replaced(tmp_path: Path, content: bytes) -> None:
    token_of(tmp_path / "a")
    (file,) = files()
    file.write_bytes(content)
    assert len(token_of(tmp_path / "a")) == 43
    assert token_of(tmp_path / "a") == file.read_text()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="kinds of files")
def test_a_link_or_a_fifo_in_the_place_of_the_token_is_not_followed(tmp_path: Path) -> None:
    token_of(tmp_path / "a")
    (file,) = files()
    for kind in "link", "fifo":
        file.unlink()
        (tmp_path / "victim").write_text("v" * 43)
        if kind == "link":
            file.symlink_to(tmp_path / "victim")
        else:
            os.mkfifo(file)
        assert token_of(tmp_path / "a") not in ("v" * 43, "")
        assert (tmp_path / "victim").read_text() == "v" * 43


@needs_root
def test_a_directory_of_another_user_is_refused(tmp_path: Path, state: Path) -> None:
    state.mkdir()
    (state / "plsync").mkdir()
    os.chown(state / "plsync", STRANGER, STRANGER)
    with pytest.raises(ConfigError, match="the page was not started"):
        token_of(tmp_path / "a")


@needs_root
def test_another_user_cannot_list_the_tokens(tmp_path: Path) -> None:
    token_of(tmp_path / "a")
    directory = str(state_directory())
    assert isinstance(as_user(STRANGER, lambda: os.listdir(directory)), PermissionError)
