"""The calls of a recording's file, found by their keys."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from plsync.errors import RecordingFormatError
from plsync.replay.matching import Matcher
from plsync.replay.request.request import Kind, Request
from plsync.replay.storage.file import RecordingFile
from plsync.replay.storage.recorded_call import RecordedCall

__all__ = ["FileSource", "line_name"]


class FileSource:
    """The calls of a file, by key. A line is read and parsed when its call is needed."""

    def __init__(self, file: RecordingFile, matcher: Matcher) -> None:
        """Refers to a file. Nothing is read before the first lookup."""
        self._file = file
        self._matcher = matcher
        self._starts: list[int] | None = None
        # The number of the first call of each key, and every number of keys with several calls. One list for each key
        # would make Python's garbage collector walk through the whole program.
        self._first_number: dict[bytes, int] = {}
        self._numbers: dict[bytes, list[int]] = {}
        self._found: dict[str, list[RecordedCall]] = {}
        self._computed = False
        self.load_blob = file.load_blob

    @property
    def name(self) -> str:
        """The path of the file."""
        return str(self._file.path)

    def calls(self) -> Iterator[RecordedCall]:
        """Every call, in order."""
        for number, line in enumerate(self._file.read()):
            yield RecordedCall(line_name(number), line, self.name)

    def matching(self, request: Request, key: str) -> list[RecordedCall]:
        """The calls with this key, in order."""
        if key not in self._found:
            self._found[key] = self._look_up(key)
        return self._found[key]

    def sample(self) -> list[RecordedCall]:
        """Every call."""
        return list(self.calls())

    def first(self, kinds: Sequence[Kind]) -> RecordedCall | None:
        """The first call of these kinds, or else the first call; ``None`` without calls."""
        found = (call for call in self.calls() if call.request.kind in kinds)
        return next(found, None) or next(self.calls(), None)

    def _look_up(self, key: str) -> list[RecordedCall]:
        if self._matcher.is_default and not self._computed:
            found = self._with_stored_key(key)
            if found and all(self._has_key(call, key) for call in found):
                return found
        # The stored keys do not decide in three cases. The matcher is not the default one, an edited line has an old
        # key, or no line has this key.
        if not self._computed:
            computed: dict[str, list[RecordedCall]] = {}
            for call in self.calls():
                computed.setdefault(self._matcher.key(call.request), []).append(call)
            self._found = {**computed, **self._found}
            # Last: a damaged line raises the same error at each lookup, and a retry must not find a part of the calls.
            self._computed = True
        return self._found.get(key, [])

    def _has_key(self, call: RecordedCall, key: str) -> bool:
        try:
            return self._matcher.key(call.request) == key
        except RecordingFormatError:  # the file was changed, and the offset is inside another line
            return False

    def _with_stored_key(self, key: str) -> list[RecordedCall]:
        """The calls whose lines hold this key; only their lines are parsed."""
        if self._starts is None:
            self._read_keys()
        first_number = self._first_number.get(key.encode())
        numbers = self._numbers.get(key.encode(), () if first_number is None else (first_number,))
        return [self._call(number) for number in numbers]

    def _read_keys(self) -> None:
        starts: list[int] = []
        first_numbers: dict[bytes, int] = {}
        numbers: dict[bytes, list[int]] = {}
        for number, (start, stored) in enumerate(self._file.keys()):
            starts.append(start)
            found = stored or self._matcher.key(self._call_at(number, start).request).encode()
            first = first_numbers.setdefault(found, number)
            if first != number:
                numbers.setdefault(found, [first]).append(number)
        # Only after the last line: a damaged line raises the same error at each lookup.
        self._starts, self._first_number, self._numbers = starts, first_numbers, numbers

    def _call(self, number: int) -> RecordedCall:
        assert self._starts is not None  # noqa: S101 - for the type checker
        return self._call_at(number, self._starts[number])

    def _call_at(self, number: int, start: int) -> RecordedCall:
        return RecordedCall(line_name(number), self._file.line_at(start), self.name)


def line_name(number: int) -> str:
    """The line of a call, as people count: calls are numbered from 0, and line 1 is the header.

    >>> line_name(0)
    'line 2'
    """
    return f"line {number + 2}"
