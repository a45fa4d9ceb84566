"""The configuration file: TOML that lists workspaces with their journals, servers and keys.

It can name a command. So only a file of this user or root is read, in a directory that no other user can write to.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from plsync._common.files import admit_directory, read_named
from plsync._common.paths import workspace_journal
from plsync.config.keys import CommandKey, FileKey, KeySource, VariableKey
from plsync.config.location import CONFIG_VARIABLE, config_path, is_absent, version_of
from plsync.errors import ConfigError

__all__ = ["Config", "Workspace", "is_workspace_name", "read_config"]

_LARGEST: Final = 1 << 20
# Each workspace has a thread, an open store and a file watch in `plsync run`.
_MOST_WORKSPACES: Final = 64
_LONGEST_COMMAND: Final = 600.0
# A name is a part of a file's name, on file systems that fold cases too.
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

_T = TypeVar("_T")


@dataclass(frozen=True)
class Workspace:
    """A workspace of the configuration file."""

    name: str
    journal: Path
    """The directory of its journal."""
    key: KeySource | None
    """The place of its key; None if the file names none."""
    base_url: str | None
    """PromptLayer's URL; None for ``PROMPTLAYER_BASE_URL``."""
    place: str | None = None
    """The table and the file, for messages; None if no configuration file lists the workspace."""


@dataclass(frozen=True)
class Config:
    """The content of a configuration file."""

    path: Path
    workspaces: Mapping[str, Workspace]
    """The workspaces by their names, in the order of the file."""

    def workspace(self, name: str) -> Workspace:
        """The workspace with this name.

        Raises:
            ConfigError: the file does not list it.
        """
        if (found := self.workspaces.get(name)) is None:
            listed = ", ".join(self.workspaces) or "no workspace"
            raise ConfigError(
                f"{self.path} lists no workspace {name!r}, but {listed}; nothing was changed: correct the name, or add "
                f"[workspaces.{name}]"
            )
        return found


def is_workspace_name(name: str) -> bool:
    """Whether a text can name a workspace: 1 to 64 of ``a-z``, ``0-9``, ``-`` and ``_``, with a letter or digit first.

    >>> is_workspace_name("team-1"), is_workspace_name("../etc"), is_workspace_name("Team")
    (True, False, False)
    """
    return _NAME.fullmatch(name) is not None


def read_config() -> Config | None:
    """The configuration file that ``PLSYNC_CONFIG`` names, else ``plsync/config.toml`` in the user's configuration.

    Returns:
        None if ``PLSYNC_CONFIG`` is not set and there is no file, or if it names the null device.

    Raises:
        ConfigError: the file cannot be read, or has an unknown field or a wrong value.
    """
    path, is_named = config_path()
    if path is None or (not is_named and is_absent(path)):
        return None
    version = version_of(path)
    kept_version, kept = _kept[0]
    if version is not None and version == kept_version:
        return kept
    config = _read(path, is_named)
    _kept[0] = (version, config)
    return config


# The last file that was read. A program may make a handler for each request.
_kept: list[tuple[tuple[object, ...] | None, Config | None]] = [(None, None)]


def _read(path: Path, is_named: bool) -> Config | None:
    try:
        admit_directory(path.parent)
        content = read_named(path, _LARGEST + 1)
    except FileNotFoundError as error:
        if not is_named:
            return None
        raise ConfigError(
            f"{CONFIG_VARIABLE} names {path}, and there is no such file; nothing was changed: correct the path"
        ) from error
    except OSError as error:
        refused = "" if error.filename in {None, str(path)} else f"{error.filename}: "
        raise ConfigError(
            f"the configuration file {path} cannot be used ({refused}{error.strerror or error}); nothing was changed"
        ) from error
    return _parsed(path, content)


def _parsed(path: Path, content: bytes) -> Config:
    # Few machines have this file, and the handler and each command look for it.
    if sys.version_info >= (3, 11):
        import tomllib  # noqa: PLC0415
    else:
        import tomli as tomllib  # noqa: PLC0415

    if len(content) > _LARGEST:
        raise ConfigError(f"{path} has more than {_LARGEST} bytes; nothing was changed: shorten it")
    try:
        document = tomllib.loads(content.decode("utf-8-sig"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        # The message has the line and the column. A decoder's message for bytes quotes none of them.
        reason = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it is not UTF-8, or nested too deeply"
        raise ConfigError(f"{path} is not TOML: {reason}; nothing was changed: correct the file") from None
    fields = _Table(path, "", document)
    listed = _Table(path, "workspaces", fields.take("workspaces", dict, {}))
    fields.end()
    if len(listed.values) > _MOST_WORKSPACES:
        raise listed.error(f"has more than {_MOST_WORKSPACES} workspaces")
    workspaces = {name: _workspace(path, name, listed.take(name, dict, {})) for name in list(listed.values)}
    _check_journals(path, workspaces)
    return Config(path, workspaces)


def _workspace(path: Path, name: str, values: dict[str, Any]) -> Workspace:
    table = _Table(path, f"workspaces.{name}", values)
    if not is_workspace_name(name):
        raise table.error("is no name of a workspace: use up to 64 of a-z, 0-9, - and _, with a letter or digit first")
    named = table.take("journal", str, "")
    journal = _file(table, "journal", named) if named else workspace_journal(name)
    base_url = table.take("base_url", str, "").strip() or None
    key = None
    if "key" in table.values:
        # A key in place of a table must not be quoted.
        key = _key(_Table(path, f"{table.name}.key", table.take("key", dict, {})))
    table.end()
    return Workspace(name, journal, key, base_url, f"[workspaces.{name}] in {path}")


def _key(table: _Table) -> KeySource:
    places = sorted({"variable", "file", "command"} & table.values.keys())
    if len(places) != 1:
        raise table.error("must name one of variable, file and command")
    source: KeySource
    if places == ["variable"]:
        variable = table.take("variable", str, "")
        if not _VARIABLE.fullmatch(variable):
            raise table.error("must be the name of an environment variable", "variable")
        source = VariableKey(variable)
    elif places == ["file"]:
        source = FileKey(_file(table, "file", table.take("file", str, "")))
    else:
        source = _command(table)
    table.end()
    return source


def _command(table: _Table) -> CommandKey:
    arguments = table.take("command", list, [])
    if not arguments or not all(isinstance(one, str) and "\0" not in one for one in arguments) or not arguments[0]:
        raise table.error("must be a list of texts: the program, then its arguments", "command")
    timeout = table.take("timeout", (int, float), 30)
    if isinstance(timeout, bool) or not 0 < timeout <= _LONGEST_COMMAND:
        raise table.error(f"must be a number of seconds, at most {_LONGEST_COMMAND:g}", "timeout")
    return CommandKey(tuple(arguments), float(timeout))


def _file(table: _Table, field: str, named: str) -> Path:
    """A path of the file. A relative path begins at the directory of the configuration file."""
    if not named or "\0" in named:
        raise table.error("must be a path", field)
    try:
        return (table.path.parent / Path(named).expanduser()).absolute()
    except RuntimeError:  # of a user that does not exist
        raise table.error("begins with the home of an unknown user", field) from None


def _check_journals(path: Path, workspaces: Mapping[str, Workspace]) -> None:
    known: dict[str, str] = {}
    for name, workspace in workspaces.items():
        directory = os.path.normcase(os.path.realpath(workspace.journal))
        other = known.setdefault(directory, name)
        if other != name:
            raise ConfigError(
                f"{path}: workspaces.{name}.journal is the journal of workspaces.{other} too; nothing was changed: "
                "name another directory"
            )


class _Table:
    """A table of the file, whose fields are taken one by one. A field that nothing takes is unknown."""

    def __init__(self, path: Path, name: str, values: dict[str, Any]) -> None:
        self.path = path
        self.name = name
        self.values = values
        self._taken: set[str] = set()

    def take(self, field: str, kind: type[_T] | tuple[type[_T], ...], default: _T) -> _T:
        """The value of a field.

        Raises:
            ConfigError: it has another type. The message does not quote it, because it may be a key.
        """
        self._taken.add(field)
        value = self.values.get(field, default)
        if not isinstance(value, kind):
            raise self.error(f"must be {_words(kind, field)}", field)
        return value

    def end(self) -> None:
        """Check that every field was taken.

        Raises:
            ConfigError: a field is unknown.
        """
        if unknown := [field for field in self.values if field not in self._taken]:
            raise self.error("is unknown; known fields are " + ", ".join(sorted(self._taken)), unknown[0])

    def error(self, reason: str, field: str = "") -> ConfigError:
        """An error about a field, or about the whole table."""
        place = ".".join(part for part in (self.name, field) if part)
        return ConfigError(f"{self.path}: {place} {reason}; nothing was changed: correct the file")


def _words(kind: object, field: str) -> str:
    """The type of a field, in words."""
    if kind is dict:
        return 'a table such as { file = "PATH" }' if field == "key" else "a table"
    return "a text" if kind is str else "a list" if kind is list else "a number"
