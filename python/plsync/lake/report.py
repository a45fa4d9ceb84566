"""The report of an export into a lake."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["LakeReport"]


@dataclass(slots=True)
class LakeReport:
    """The result of :func:`plsync.lake.export.export`."""

    lake: Path
    """The directory of the lake."""
    files: int = 0
    """The number of files that were written."""
    records: int = 0
    """The number of records in these files."""
    bytes: int = 0
    """The bytes of these files."""
    unchanged: int = 0
    """The number of files that hold the present states already."""
    removed: int = 0
    """The number of files that were removed, because their records match no more."""
    left_out: int = 0
    """The number of records that the redact hook left out."""

    def as_dict(self) -> dict[str, Any]:
        """The same names, JSON-able."""
        names = ("files", "records", "bytes", "unchanged", "removed", "left_out")
        return {"lake": str(self.lake), **{name: getattr(self, name) for name in names}}
