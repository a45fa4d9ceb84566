"""The result of a run: the remaining work, and the errors that a person has to mend."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from plsync.errors import SyncError

__all__ = ["WORK_LEFT", "Served"]

WORK_LEFT: Final = 3
"""The exit code of a run that leaves work."""


@dataclass(frozen=True)
class Served:
    """The result of serving a journal."""

    left: dict[str, int]
    """The remaining work, as in ``plsync status``."""
    shown: Mapping[str, int]
    """The same, with the records that the quota dropped under ``dropped``."""
    unavailable: list[str]
    """One message for each callback function that could not be imported."""
    stranded: int = 0
    """The follow-ups of refused and held records."""
    elsewhere: Mapping[str, int] = field(default_factory=dict)
    """The records in doubt at each server that the journal does not send to any more."""
    error: SyncError | None = None
    """The setting that a person has to change, if the run ended for it."""
