"""The journal and the connection of a workspace, by its name."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from plsync._common.paths import environment_journal, workspace_journal
from plsync.config.file import Config, Workspace, is_workspace_name, read_config
from plsync.errors import ConfigError, JournalError

__all__ = [
    "check_name",
    "journal_for",
    "journal_of",
    "recording_journal",
    "unlisted_journals",
    "workspace_at",
    "workspace_of",
    "workspaces_with_journals",
]


def check_name(name: object) -> str:
    """The name of a workspace, checked.

    Raises:
        ValueError: it is no name.
    """
    if not isinstance(name, str) or not is_workspace_name(name):
        shown = repr(name) if isinstance(name, str) else type(name).__name__
        raise ValueError(
            f"{shown:.100} is no name of a workspace: use up to 64 of a-z, 0-9, - and _, with a letter or digit first"
        )
    return name


def journal_of(name: str) -> Path:
    """The journal of a workspace: the path in the configuration file, else ``journal-NAME`` beside the default journal.

    The file need not list the workspace, and no key is read.

    Raises:
        ValueError: it is no name of a workspace.
        ConfigError: the configuration file is wrong.
        JournalError: the account has no home directory.
    """
    check_name(name)
    config = read_config()
    listed = None if config is None else config.workspaces.get(name)
    return workspace_journal(name) if listed is None else listed.journal


def journal_for(path: object | None, workspace: str) -> Path:
    """The journal of a workspace, for a function that takes a path or a workspace.

    Raises:
        ValueError: both are set, or the workspace is no name.
        ConfigError, JournalError: as :func:`journal_of`.
    """
    if path is not None:
        raise ValueError("a journal and a workspace exclude each other: a workspace has its own journal")
    return journal_of(workspace)


def recording_journal(name: str, on_error: Callable[[str], object]) -> Path:
    """The journal of a workspace for a program that records, which a wrong configuration file must not stop.

    Args:
        name: the workspace.
        on_error: called with the reason if the configuration file is wrong. The journal is then the one beside the
            default journal.

    Raises:
        ValueError, JournalError: as :func:`journal_of`.
    """
    try:
        return journal_of(name)
    except ConfigError as error:
        path = workspace_journal(name)
        on_error(f"{error}; calls of workspace {name!r} are recorded in {path}")
        return path


def workspace_of(name: str) -> Workspace:
    """A workspace to send for. Without a configuration file its key and URL are in the environment.

    Raises:
        ValueError: it is no name of a workspace.
        ConfigError: the configuration file is wrong, or does not list the workspace.
        JournalError: the account has no home directory.
    """
    check_name(name)
    config = read_config()
    return Workspace(name, workspace_journal(name), None, None) if config is None else config.workspace(name)


def unlisted_journals(config: Config) -> list[Path]:
    """The default journal and the journals of workspaces beside it that a configuration file does not list."""
    listed = {os.path.realpath(workspace.journal) for workspace in config.workspaces.values()}
    return [path for path in _default_journals().values() if os.path.realpath(path) not in listed]


def workspaces_with_journals(config: Config | None) -> list[str]:
    """The workspaces that have a journal, listed in a configuration file or beside the default journal."""
    listed = {} if config is None else config.workspaces
    with_journal = [name for name, workspace in listed.items() if os.path.lexists(workspace.journal)]
    return [*with_journal, *(name for name in _default_journals() if name and name not in listed)]


def _default_journals() -> dict[str, Path]:
    """The default journal, and the journals of workspaces beside it, by the names of the workspaces."""
    found: dict[str, Path] = {}
    with contextlib.suppress(OSError, JournalError):
        default = Path(os.path.abspath(environment_journal()))
        for path in (default, *sorted(default.parent.glob(f"{default.name}-*"))):
            name = path.name[len(default.name) + 1 :]
            if (path / "FORMAT").exists() and (not name or is_workspace_name(name)):
                found[name] = path
    return found


def workspace_at(journal: Path) -> str | None:
    """The name of the workspace whose journal is at a path; None for a journal of no workspace.

    Raises:
        ConfigError: the configuration file is wrong.
    """
    path = os.path.realpath(journal)
    config = read_config()
    for name, workspace in ({} if config is None else config.workspaces).items():
        if os.path.realpath(workspace.journal) == path:
            return name
    with contextlib.suppress(JournalError):
        default = os.path.realpath(environment_journal())
        parent, last = os.path.split(default)
        beside, named = os.path.split(path)
        name = named[len(last) + 1 :]
        if beside == parent and named.startswith(f"{last}-") and is_workspace_name(name):
            return name
    return None
