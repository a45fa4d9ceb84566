"""Remembers where replay found a journal's calls, so that a test that runs again does not search again.

The cache is one file per journal in the user's cache directory. It holds digests of requests and record ids. The
user may remove it at any time. An entry is used only after its record was read and compared.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path
from uuid import UUID

import orjson
import platformdirs

from plsync._common.files import open_own, read_own

__all__ = ["SearchCache"]

_MAX_BYTES = 4 << 20


class SearchCache:
    """Record ids by search and by number of the match."""

    def __init__(self, journal_id: str) -> None:
        """Reads the cache of a journal. A cache that cannot be read counts as empty."""
        self._path = Path(platformdirs.user_cache_path("plsync", appauthor=False)) / "replay" / f"{journal_id}.jsonl"
        self._ids: dict[tuple[str, int], str] = {}
        with contextlib.suppress(OSError):
            content = read_own(self._path, _MAX_BYTES + 1)
            if len(content) <= _MAX_BYTES:
                for line in content.splitlines():
                    self._parse(line)

    def _parse(self, line: bytes) -> None:
        # Two processes may have written at once, or another program may have changed the file.
        with contextlib.suppress(TypeError, ValueError, AttributeError):
            search, number, record_id = orjson.loads(line)
            self._ids[str(search), int(number)] = str(UUID(record_id))

    def get(self, search: str, number: int) -> str | None:
        """The record id of a search's match, numbered from 0; ``None`` if it is not cached."""
        return self._ids.get((search, number))

    def add(self, search: str, number: int, record_id: str) -> None:
        """Store an entry. If the cache cannot be written, only the time of the next search is lost."""
        if self._ids.get((search, number)) == record_id:
            return
        self._ids[search, number] = record_id
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = open_own(self._path, create=True)
            try:
                if os.fstat(descriptor).st_size > _MAX_BYTES:
                    os.truncate(descriptor, 0)
                os.lseek(descriptor, 0, os.SEEK_END)
                os.write(descriptor, orjson.dumps([search, number, record_id]) + b"\n")
            finally:
                os.close(descriptor)

    def remove(self, record_ids: Collection[str]) -> int:
        """Remove the entries of records from the file, and return how many.

        Raises:
            OSError: the file cannot be written.
        """
        removed = {key for key, record_id in self._ids.items() if record_id in record_ids}
        if not removed:
            return 0
        self._ids = {key: record_id for key, record_id in self._ids.items() if key not in removed}
        lines = [orjson.dumps([*key, record_id]) + b"\n" for key, record_id in self._ids.items()]
        descriptor = open_own(self._path, write=True)
        try:
            # Overwritten before it is cut, so that the old bytes are not left in freed space.
            os.write(descriptor, b"\n" * os.fstat(descriptor).st_size)
            os.fsync(descriptor)
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, b"".join(lines))
        finally:
            os.close(descriptor)
        return len(removed)
