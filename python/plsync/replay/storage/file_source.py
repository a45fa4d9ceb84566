"""The calls of a recording's file, found by their key."""

from __future__ import annotations

from collections.abc import Iterator

from plsync.errors import RecordingFormatError
from plsync.replay.matching import Matcher
from plsync.replay.request.request import Request
from plsync.replay.storage.file import RecordingFile
from plsync.replay.storage.recorded_call import Call

__all__ = ["FileCalls", "where"]


class FileCalls:
    """The calls of a file, by key. A line is cut out and parsed when it is looked at."""

    def __init__(self, file: RecordingFile, matcher: Matcher) -> None:
        """Nothing is read yet."""
        self._file = file
        self._matcher = matcher
        self._starts: list[int] | None = None
        # By key, the number of its only call. A list for each would have Python's collector go through the program.
        self._only: dict[bytes, int] = {}
        self._several: dict[bytes, list[int]] = {}
        self._found: dict[str, list[Call]] = {}
        self._computed = False
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
        if key not in self._found:
            self._found[key] = self._look_up(key)
        return self._found[key]

    def sample(self) -> list[Call]:
        """Every call."""
        return list(self.calls())

    def first(self) -> Call | None:
        """The first call."""
        return next(self.calls(), None)

    def _look_up(self, key: str) -> list[Call]:
        if self._matcher.is_default and not self._computed:
            found = self._as_written(key)
            if found and all(self._is(call, key) for call in found):
                return found
        # Matched otherwise than the keys in the lines say; or somebody edited a request by hand, or it is not there.
        if not self._computed:
            self._computed = True
            computed: dict[str, list[Call]] = {}
            for call in self.calls():
                computed.setdefault(self._matcher.key(call.request), []).append(call)
            self._found = {**computed, **self._found}
        return self._found.get(key, [])

    def _is(self, call: Call, key: str) -> bool:
        try:
            return self._matcher.key(call.request) == key
        except RecordingFormatError:  # somebody changed the file meanwhile, and another line begins elsewhere
            return False

    def _as_written(self, key: str) -> list[Call]:
        """By the keys in the lines, which are found without parsing them."""
        if self._starts is None:
            self._starts = []
            for number, (start, written) in enumerate(self._file.keys()):
                self._starts.append(start)
                found = written or self._matcher.key(self._call(number).request).encode()
                first = self._only.setdefault(found, number)
                if first != number:
                    self._several.setdefault(found, [first]).append(number)
        only = self._only.get(key.encode())
        return [self._call(number) for number in self._several.get(key.encode(), () if only is None else (only,))]

    def _call(self, number: int) -> Call:
        assert self._starts is not None  # noqa: S101 - for the type checker
        return Call(where(number), self._file.line_at(self._starts[number]), self.name)


def where(number: int) -> str:
    """What people find the call of this number by, counted from 0."""
    # The first line says what the file is.
    return f"line {number + 2}"
