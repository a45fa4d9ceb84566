"""The configuration file: its fields, its errors, and the owner that it must have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from plsync.config.file import Config, read_config
from plsync.config.keys import CommandKey, FileKey, VariableKey
from plsync.config.workspaces import journal_of, unlisted_journals, workspace_of
from plsync.errors import ConfigError
from plsync.journal import Journal
from tests.support.users import STRANGER, as_user, needs_root, public_directory


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PLSYNC_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("PLSYNC_JOURNAL", str(tmp_path / "data" / "journal"))
    return tmp_path / "config.toml"


def read(file: Path, text: str) -> Config:
    file.write_text(text, encoding="utf-8")
    config = read_config()
    assert config is not None
    return config


def test_every_field_is_read(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    config = read(
        file,
        """
        [workspaces.production]
        journal = "/var/lib/app/journal"
        base_url = "https://promptlayer.example"
        key = { file = "secrets/production" }
        [workspaces.staging]
        journal = "~/staging"
        key = { variable = "STAGING_KEY" }
        [workspaces.local-2]
        key = { command = ["pass", "show", "promptlayer"], timeout = 5 }
        [workspaces.recorded]
        """,
    )
    production, staging, local, recorded = config.workspaces.values()
    assert (production.journal, production.base_url) == (Path("/var/lib/app/journal"), "https://promptlayer.example")
    assert production.key == FileKey(tmp_path / "secrets" / "production")
    assert (staging.journal, staging.key) == (tmp_path / "home" / "staging", VariableKey("STAGING_KEY"))
    assert local.journal == tmp_path / "data" / "journal-local-2"
    assert local.key == CommandKey(("pass", "show", "promptlayer"), 5.0)
    assert (recorded.key, recorded.base_url) == (None, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[workspaces.a", "is not TOML: "),
        ("x = 1\ny = = 2", "line 2"),
        ("[workspace.a]", "workspace is unknown; known fields are workspaces"),
        ("workspaces = 1", "workspaces must be a table"),
        ("[workspaces]\na = 1", "workspaces.a must be a table"),
        ("[workspaces.A]", "workspaces.A is no name of a workspace"),
        ('[workspaces."../a"]', "workspaces.../a is no name of a workspace"),
        ("[workspaces.a]\njournl = 'x'", "workspaces.a.journl is unknown; known fields are base_url, journal"),
        ("[workspaces.a]\njournal = 1", "workspaces.a.journal must be a text"),
        ("[workspaces.a]\njournal = '~no-such-user/x'", "workspaces.a.journal begins with the home of an unknown user"),
        ("[workspaces.a]\nkey = 'pl_secret'", "workspaces.a.key must be a table such as"),
        ("[workspaces.a.key]", "workspaces.a.key must name one of variable, file and command"),
        ("[workspaces.a.key]\nfile = 'x'\nvariable = 'X'", "workspaces.a.key must name one of"),
        ("[workspaces.a.key]\nvalue = 'pl_secret'", "workspaces.a.key must name one of"),
        ("[workspaces.a.key]\nfile = 'x'\ntimeout = 3", "workspaces.a.key.timeout is unknown"),
        ("[workspaces.a.key]\nfile = ''", "workspaces.a.key.file must be a path"),
        ("[workspaces.a.key]\nvariable = 'pl_secret-1'", "workspaces.a.key.variable must be the name of an"),
        ("[workspaces.a.key]\ncommand = 'pl_secret'", "workspaces.a.key.command must be a list"),
        ("[workspaces.a.key]\ncommand = []", "workspaces.a.key.command must be a list of texts"),
        ("[workspaces.a.key]\ncommand = ['a', 1]", "workspaces.a.key.command must be a list of texts"),
        ("[workspaces.a.key]\ncommand = ['a']\ntimeout = true", "workspaces.a.key.timeout must be a number of seconds"),
        ("[workspaces.a.key]\ncommand = ['a']\ntimeout = nan", "workspaces.a.key.timeout must be a number of seconds"),
        ("[workspaces.a.key]\ncommand = ['a']\ntimeout = '3'", "workspaces.a.key.timeout must be a number"),
        ("[workspaces.a]\njournal='x'\n[workspaces.b]\njournal='./y/../x'", "workspaces.b.journal is the journal of"),
        ("".join(f"[workspaces.w{number}]\n" for number in range(65)), "has more than 64 workspaces"),
        ("x = '" + "x" * (1 << 20) + "'", "has more than 1048576 bytes"),
        ("x = " + "[" * 5000, "is not TOML"),
    ],
)
def test_a_wrong_file_is_an_error_with_its_field_or_line(file: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(file, text)
    assert str(file) in str(error.value)
    assert message in str(error.value)
    assert "secret" not in str(error.value)


def test_bytes_that_are_no_text_are_an_error(file: Path) -> None:
    file.write_bytes(b"x = '\xff'")
    with pytest.raises(ConfigError, match="is not TOML: it is not UTF-8"):
        read_config()


def test_a_file_that_others_can_write_to_is_refused(file: Path, tmp_path: Path) -> None:
    file.write_text("[workspaces.a]")
    file.chmod(0o666)
    with pytest.raises(ConfigError, match="can be written to by every user"):
        read_config()
    file.chmod(0o644)
    tmp_path.chmod(0o777)
    with pytest.raises(ConfigError, match="can be written to by every user"):
        read_config()
    tmp_path.chmod(0o700)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(ConfigError, match="not a regular file"):
        read_config()


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can change an owner")
def test_a_file_of_another_user_is_refused(file: Path) -> None:
    file.write_text("[workspaces.a]")
    os.chown(file, 12345, 12345)
    with pytest.raises(ConfigError, match="it belongs to"):
        read_config()


def test_only_a_named_file_must_exist(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"PLSYNC_CONFIG names .*, and there is no such file"):
        read_config()
    monkeypatch.setenv("PLSYNC_CONFIG", os.devnull)
    assert read_config() is None
    monkeypatch.delenv("PLSYNC_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    assert read_config() is None
    assert journal_of("a") == tmp_path / "data" / "journal-a"
    assert workspace_of("a").place is None


@needs_root
def test_the_closed_home_of_another_user_has_no_configuration() -> None:
    def look(home: Path) -> object:
        os.environ.update(HOME=str(home), XDG_CONFIG_HOME=str(home / ".config"))
        os.environ.pop("PLSYNC_CONFIG", None)
        return read_config()

    with public_directory() as directory:
        closed = directory / "closed"
        (closed / ".config" / "plsync").mkdir(parents=True)
        (closed / ".config" / "plsync" / "config.toml").write_text("[workspaces.a]")
        closed.chmod(0o700)
        own = directory / "own"
        (own / ".config" / "plsync").mkdir(parents=True)
        os.chown(own / ".config", STRANGER, STRANGER)
        (own / ".config").chmod(0)
        assert as_user(STRANGER, lambda: look(closed)) is None
        assert as_user(STRANGER, lambda: look(Path("/dev/null"))) is None
        # A directory of this user that is closed by mistake hides a configuration.
        error = as_user(STRANGER, lambda: look(own))
        assert isinstance(error, ConfigError)
        assert "Permission denied" in str(error)


def test_a_workspace_that_is_not_listed_is_recorded_and_not_sent(file: Path, tmp_path: Path) -> None:
    read(file, "[workspaces.production]\n[workspaces.staging]")
    assert journal_of("prodution") == tmp_path / "data" / "journal-prodution"
    with pytest.raises(ConfigError, match="lists no workspace 'prodution', but production, staging"):
        workspace_of("prodution")
    Journal.open(workspace="prodution", create=True).close()
    Journal.open(workspace="production", create=True).close()
    Journal.open(create=True).close()
    config = read_config()
    assert config is not None
    assert [path.name for path in unlisted_journals(config)] == ["journal", "journal-prodution"]


def test_a_journal_and_a_workspace_exclude_each_other(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="exclude each other"):
        Journal.open(tmp_path, workspace="a")
    for wrong in ("", "A", "a/b", "..", "a" * 65, "a\n"):
        with pytest.raises(ValueError, match="no name of a workspace"):
            Journal.open(workspace=wrong)
