"""The default directories of the journal, of the prompt templates and of the keys for bundles."""

from __future__ import annotations

import os
from contextvars import ContextVar
from pathlib import Path
from typing import Final, NamedTuple

__all__ = [
    "JOURNAL_VARIABLE",
    "KEYS_VARIABLE",
    "PROMPTS_VARIABLE",
    "Delivery",
    "current_delivery",
    "current_journal",
    "default_journal",
    "environment_journal",
    "key_directory",
    "prompt_cache",
    "user_state",
    "workspace_journal",
]

JOURNAL_VARIABLE: Final = "PLSYNC_JOURNAL"
PROMPTS_VARIABLE: Final = "PLSYNC_PROMPTS"
KEYS_VARIABLE: Final = "PLSYNC_KEYS"

current_journal: Final[ContextVar[Path | None]] = ContextVar("plsync.current_journal", default=None)
"""Inside a ``pl_id_callback``: the journal that its request id comes from."""


class Delivery(NamedTuple):
    """The record whose request id a ``pl_id_callback`` receives."""

    request_id: int
    record_id: bytes


current_delivery: Final[ContextVar[Delivery | None]] = ContextVar("plsync.current_delivery", default=None)
"""Inside a ``pl_id_callback``: its record. Another server may have given the same request id to another record."""


def default_journal() -> Path:
    """The directory of the journal when the program names none.

    Inside a ``pl_id_callback`` it is the journal of the request id. Else it is the directory in
    ``PLSYNC_JOURNAL``. Else it is ``journal`` in the platform's user data directory of plsync.

    Raises:
        JournalError: the account has no home directory, or the path in ``PLSYNC_JOURNAL`` names none.
    """
    if (current := current_journal.get()) is not None:
        return current
    return environment_journal()


def environment_journal() -> Path:
    """The directory in ``PLSYNC_JOURNAL``, else ``journal`` in the platform's user data directory of plsync.

    Raises:
        JournalError: as :func:`default_journal`.
    """
    if named := os.environ.get(JOURNAL_VARIABLE):
        return _expanded(named, JOURNAL_VARIABLE)
    return _user_data(JOURNAL_VARIABLE) / "journal"


def workspace_journal(name: str) -> Path:
    """The directory of a workspace's journal when no configuration names one: ``journal-NAME`` beside the default.

    Args:
        name: the workspace, which is no path.

    Raises:
        JournalError: as :func:`default_journal`.
    """
    parent, last = os.path.split(os.path.abspath(environment_journal()))
    return Path(parent) / f"{last or 'journal'}-{name}"


def key_directory() -> Path:
    """The directory of the keys for bundles: ``PLSYNC_KEYS``, else ``keys`` in the user data directory.

    It is beside the default journal and in no journal, because a copy of a journal must not hold a key.

    Raises:
        JournalError: the account has no home directory, or the path in ``PLSYNC_KEYS`` names none.
    """
    if named := os.environ.get(KEYS_VARIABLE):
        return _expanded(named, KEYS_VARIABLE)
    return _user_data(KEYS_VARIABLE) / "keys"


def prompt_cache() -> Path:
    """The directory of the prompt templates: ``PLSYNC_PROMPTS``, else ``prompts`` in the user data directory.

    It is not in the platform's cache directory, which may be emptied at any time: a template cannot be fetched offline.

    Raises:
        JournalError: the account has no home directory, or the path in ``PLSYNC_PROMPTS`` names none.
    """
    if named := os.environ.get(PROMPTS_VARIABLE):
        return _expanded(named, PROMPTS_VARIABLE)
    return _user_data(PROMPTS_VARIABLE) / "prompts"


def user_state() -> Path:
    """The platform's user state directory of plsync, for facts that only this machine needs.

    Raises:
        JournalError: the account has no home directory.
    """
    import platformdirs  # noqa: PLC0415 - few commands need it

    try:
        return platformdirs.user_state_path("plsync", appauthor=False)
    except (RuntimeError, KeyError, OSError) as error:  # of an account without a home
        raise _no_directory("this account has no home directory", "XDG_STATE_HOME", error) from None


def _expanded(named: str, variable: str) -> Path:
    try:
        return Path(named).expanduser()
    except RuntimeError as error:  # of a user without a home, or a user that does not exist
        raise _no_directory(f"{variable} is {named!r}", variable, error) from None


def _user_data(variable: str) -> Path:
    import platformdirs  # noqa: PLC0415 - a program that names its journal must not pay for this import

    try:
        return platformdirs.user_data_path("plsync", appauthor=False)
    except (RuntimeError, KeyError, OSError) as error:  # of an account without a home
        raise _no_directory("this account has no home directory", variable, error) from None


def _no_directory(reason: str, variable: str, error: Exception) -> Exception:
    from plsync.errors import JournalError  # noqa: PLC0415 - few programs have no home

    return JournalError(f"{reason} ({error}); nothing was changed; set {variable} to the path of a directory")
