"""Where the journal and the prompt templates are when nobody says."""

from __future__ import annotations

import os
from contextvars import ContextVar
from pathlib import Path
from typing import Final

__all__ = ["JOURNAL_VARIABLE", "PROMPTS_VARIABLE", "current_journal", "default_journal", "prompt_cache"]

JOURNAL_VARIABLE = "PLSYNC_JOURNAL"
PROMPTS_VARIABLE = "PLSYNC_PROMPTS"

current_journal: Final[ContextVar[Path | None]] = ContextVar("plsync.current_journal", default=None)
"""Inside a ``pl_id_callback``: the journal its request id was delivered from."""


def default_journal() -> Path:
    """The journal to use when none is named.

    Inside a ``pl_id_callback`` the one it is called from. Else the directory named by ``PLSYNC_JOURNAL``, else
    ``journal`` in the platform's user data directory of plsync.
    """
    if (current := current_journal.get()) is not None:
        return current
    if given := os.environ.get(JOURNAL_VARIABLE):
        return Path(given).expanduser()
    return _user_data() / "journal"


def prompt_cache() -> Path:
    """Where prompt templates are kept: ``PLSYNC_PROMPTS``, else ``prompts`` in the same user data directory.

    Not the platform's cache directory, which may be emptied at any time: nothing brings a template back offline.
    """
    if given := os.environ.get(PROMPTS_VARIABLE):
        return Path(given).expanduser()
    return _user_data() / "prompts"


def _user_data() -> Path:
    import platformdirs  # noqa: PLC0415 - recording with a journal of one's own must not cost its import

    return platformdirs.user_data_path("plsync", appauthor=False)
