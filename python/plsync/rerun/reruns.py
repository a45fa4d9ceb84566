"""The records of reruns in the target journal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from plsync.journal.filters import Filters
    from plsync.journal.journal import Journal
    from plsync.journal.record import Record

__all__ = ["MODEL", "ORIGINAL", "newest_rerun_ids", "newest_reruns", "sent_ids"]

ORIGINAL: Final = "rerun_of"
"""The key of the metadata that has the id of the recorded call."""
MODEL: Final = "rerun_model"
"""The key of the metadata that has the name of the model, as ``PROVIDER:MODEL``."""


def newest_reruns(journal: Journal, model: str | None = None) -> dict[tuple[str, str], Record]:
    """The newest rerun of each recorded call, by its id and the model.

    Args:
        journal: the target journal.
        model: only reruns of this model.
    """
    return {key: journal.get(record_id) for key, record_id in newest_rerun_ids(journal, model).items()}


def newest_rerun_ids(journal: Journal, model: str | None = None) -> dict[tuple[str, str], str]:
    """The id of the newest rerun of each recorded call, by its id and the model. It takes less memory than the records.

    Args:
        journal: the target journal.
        model: only reruns of this model.
    """
    found: dict[tuple[str, str], str] = {}
    filters: Filters = {} if model is None else {"metadata": {MODEL: model}}
    for record in journal.records(oldest_first=True, **filters):
        original, name = record.metadata.get(ORIGINAL), record.metadata.get(MODEL)
        if isinstance(original, str) and isinstance(name, str):
            found[original, name] = record.id
    return found


def sent_ids(journal: Journal, model: str) -> dict[str, bool]:
    """The ids of the recorded calls that were sent again, and whether the newest rerun has an answer.

    Args:
        journal: the target journal.
        model: the model, as ``PROVIDER:MODEL``.
    """
    return {
        original: record.status in ("ok", "pending")
        for record in journal.records(oldest_first=True, metadata={MODEL: model})
        if isinstance(original := record.metadata.get(ORIGINAL), str)
    }
