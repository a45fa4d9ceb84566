"""The default directories of the journal and of the prompt templates."""

from __future__ import annotations

import os
from contextvars import ContextVar
from pathlib import Path
from typing import Final

__all__ = ["JOURNAL_VARIABLE", "PROMPTS_VARIABLE", "current_journal", "default_journal", "prompt_cache"]

JOURNAL_VARIABLE: Final = "PLSYNC_JOURNAL"
PROMPTS_VARIABLE: Final = "PLSYNC_PROMPTS"

current_journal: Final[ContextVar[Path | None]] = ContextVar("plsync.current_journal", default=None)
"""Inside a ``pl_id_callback``: the journal that its request id comes from."""


def default_journal() -> Path:
    """The directory of the journal when the program names none.

    Inside a ``pl_id_callback`` it is the journal of the request id. Else it is the directory in
    ``PLSYNC_JOURNAL``. Else it is ``journal`` in the platform's user data directory of plsync.
    """
    if (current := current_journal.get()) is not None:
        return current
    if named := os.environ.get(JOURNAL_VARIABLE):
        return Path(named).expanduser()
    return _user_data() / "journal"


def prompt_cache() -> Path:
    """The directory of the prompt templates: ``PLSYNC_PROMPTS``, else ``prompts`` in the user data directory.

    It is not in the platform's cache directory, which may be emptied at any time: a template cannot be fetched offline.
    """
    if named := os.environ.get(PROMPTS_VARIABLE):
        return Path(named).expanduser()
    return _user_data() / "prompts"


def _user_data() -> Path:
    import platformdirs  # noqa: PLC0415 - a program that names its journal must not pay for this import

    return platformdirs.user_data_path("plsync", appauthor=False)
