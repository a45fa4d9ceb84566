"""Where the journal is when nobody says."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["JOURNAL_VARIABLE", "default_journal"]

JOURNAL_VARIABLE = "PLSYNC_JOURNAL"


def default_journal() -> Path:
    """The directory named by ``PLSYNC_JOURNAL``, else ``journal`` in the platform's user data directory of plsync."""
    if given := os.environ.get(JOURNAL_VARIABLE):
        return Path(given).expanduser()
    import platformdirs  # noqa: PLC0415 - recording with a journal of one's own must not cost its import

    return platformdirs.user_data_path("plsync", appauthor=False) / "journal"
