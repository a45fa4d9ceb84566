"""Where in a journal calls were found before, so that a test that runs again need not search again.

One file a journal in the user's cache directory. It holds digests of requests and record ids, and may be removed at
any time: what it says is looked up and compared before it is believed.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from uuid import UUID

import orjson
import platformdirs

__all__ = ["Remembered"]

_LARGEST = 4 << 20


class Remembered:
    """Record ids by search and number of the match."""

    def __init__(self, journal_id: str) -> None:
        """Reads what is remembered of a journal; a cache that cannot be read is an empty one."""
        self._path = Path(platformdirs.user_cache_path("plsync", appauthor=False)) / "replay" / f"{journal_id}.jsonl"
        self._ids: dict[tuple[str, int], str] = {}
        with contextlib.suppress(OSError):
            if self._path.stat().st_size <= _LARGEST:
                for line in self._path.read_bytes().splitlines():
                    self._take(line)

    def _take(self, line: bytes) -> None:
        # Two processes may write at once, and another program may have been here.
        with contextlib.suppress(TypeError, ValueError, AttributeError):
            search, number, record_id = orjson.loads(line)
            self._ids[str(search), int(number)] = str(UUID(record_id))

    def get(self, search: str, number: int) -> str | None:
        """The record that was the match of this number, counted from 0."""
        return self._ids.get((search, number))

    def add(self, search: str, number: int, record_id: str) -> None:
        """Remember it. Where it cannot be written, the next search takes its time again, and nothing else is lost."""
        if self._ids.get((search, number)) == record_id:
            return
        self._ids[search, number] = record_id
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            begin = os.O_TRUNC if self._path.exists() and self._path.stat().st_size > _LARGEST else 0
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | begin, 0o600)
            try:
                os.write(descriptor, orjson.dumps([search, number, record_id]) + b"\n")
            finally:
                os.close(descriptor)
