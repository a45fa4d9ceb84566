"""The calls of a recording's file, found by their key."""

from __future__ import annotations

from collections.abc import Iterator

from plsync.replay.calls import Call
from plsync.replay.files import RecordingFile, key_of
from plsync.replay.matching import Matcher
from plsync.replay.requests import Request

__all__ = ["FileCalls", "where"]


class FileCalls:
    """The calls of a file, by key. A line is parsed when it is looked at."""

    def __init__(self, file: RecordingFile, matcher: Matcher) -> None:
        """Nothing is read yet."""
        self._file = file
        self._matcher = matcher
        self._by_key: dict[str, list[Call]] | None = None
        self._trusted = False
        self.load = file.load

    @property
    def name(self) -> str:
        """The file."""
        return str(self._file.path)

    def calls(self) -> Iterator[Call]:
        """Every call, in order."""
        for number, line in enumerate(self._file.read()):
            yield Call(where(number), line, self.name)

    def matching(self, request: Request, key: str) -> list[Call]:
        """The calls with this key, in order."""
        if self._by_key is None:
            self._by_key = self._as_written() if self._matcher.is_default else self._as_computed()
        found = self._by_key.get(key, [])
        if self._trusted and not (found and all(self._matcher.key(call.request) == key for call in found)):
            # Somebody edited a request by hand, or it is not there.
            self._by_key = self._as_computed()
            found = self._by_key.get(key, [])
        return found

    def sample(self) -> list[Call]:
        """Every call."""
        return list(self.calls())

    def first(self) -> Call | None:
        """The first call."""
        return next(self.calls(), None)

    def _as_written(self) -> dict[str, list[Call]]:
        """By the keys in the lines, which are found without parsing them."""
        self._trusted = True
        index: dict[str, list[Call]] = {}
        for call in self.calls():
            key = key_of(call.raw) if isinstance(call.raw, bytes) else None
            index.setdefault(key or self._matcher.key(call.request), []).append(call)
        return index

    def _as_computed(self) -> dict[str, list[Call]]:
        """By the keys of the requests as they are now."""
        self._trusted = False
        index: dict[str, list[Call]] = {}
        for call in self.calls():
            index.setdefault(self._matcher.key(call.request), []).append(call)
        return index


def where(number: int) -> str:
    """What people find the call of this number by, counted from 0."""
    # The first line says what the file is.
    return f"line {number + 2}"
