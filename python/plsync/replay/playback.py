"""Serves recorded calls: finds the call that matches a request, serves each call once, and counts."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from plsync.errors import NoRecording
from plsync.replay import mismatch
from plsync.replay.matching import Matcher
from plsync.replay.options import Exhausted, Mode
from plsync.replay.request.request import Request
from plsync.replay.storage.forked_use import ForkedUse
from plsync.replay.storage.recorded_call import (
    REPEATABLE,
    CallSource,
    RecordedCall,
    closest,
    has_kind,
    similarity,
)

if TYPE_CHECKING:
    from plsync.replay.response.response import RecordedResponse

__all__ = ["Counts", "Playback"]


@dataclass(slots=True)
class Counts:
    """The calls of a recording since it was opened."""

    recorded: int = 0
    """Calls that were made and recorded."""
    replayed: int = 0
    """Calls that were served from the recording."""
    missed: int = 0
    """Calls that raised ``NoRecording``."""


class Playback:
    """Recorded calls, and which of them were served. Any number of threads may use it at once."""

    def __init__(
        self, source: CallSource, matcher: Matcher, mode: Mode, exhausted: Exhausted, *, is_journal: bool
    ) -> None:
        """Prepares the playback of a source.

        Args:
            source: the file or journal.
            matcher: computes the keys.
            mode: the mode of the recording.
            exhausted: the reaction to a request that is made more often than it was recorded.
            is_journal: the source is a journal, which nothing can be recorded into.
        """
        self.source = source
        self._counts = Counts()
        self._forked = ForkedUse()
        self._forked_lines: set[bytes] = set()
        self.first_miss: NoRecording | None = None
        self.lock = threading.RLock()
        self._matcher = matcher
        self._mode = mode
        self._exhausted = exhausted
        self._is_journal = is_journal
        self._served: set[str] = set()
        self._used_keys: set[str] = set()
        self._others: list[tuple[CallSource, set[str]]] = []

    @property
    def counts(self) -> Counts:
        """The calls since the recording was opened, also the calls of forked processes."""
        self._add_forked()
        return self._counts

    @property
    def used_keys(self) -> set[str]:
        """The keys of the calls that were served from the first source."""
        self._add_forked()
        return self._used_keys

    @property
    def forked_lines(self) -> set[bytes]:
        """The lines that forked processes recorded."""
        self._add_forked()
        return self._forked_lines

    def count_recorded(self, line: bytes) -> None:
        """Count a call that was recorded as a line of the file."""
        self._counts.recorded += 1
        self._forked.note("recorded", line)

    def _add_forked(self) -> None:
        with self.lock:
            for event, content in self._forked.new_events():
                if event == "recorded":
                    self._counts.recorded += 1
                    self._forked_lines.add(content)
                elif event == "missed":
                    self._counts.missed += 1
                else:
                    self._counts.replayed += 1
                    location, _, key = content.decode("utf-8", "surrogateescape").partition("\t")
                    if location:
                        self._served.add(location)
                    if key:
                        self._used_keys.add(key)

    def add_sources(self, sources: Iterable[CallSource]) -> None:
        """Add recordings that serve the calls that the first source lacks."""
        self._others += [(source, set()) for source in sources]

    def served_in(self, path: str) -> set[str]:
        """The locations of the calls that were served from the recording of this path."""
        self._add_forked()
        sources = [(self.source, self._served), *self._others]
        return {location for source, served in sources if source.name == path for location in served}

    def mark_served(self, locations: Iterable[str]) -> None:
        """Count calls as used that were served elsewhere."""
        self._served.update(locations)

    def is_served(self, location: str) -> bool:
        """Whether the call at this location was served."""
        self._add_forked()
        return location in self._served

    def restart(self, source: CallSource, served: Iterable[str]) -> None:
        """Continue with another state of the file.

        Args:
            source: the file after a change.
            served: the new locations of the calls that were served.
        """
        self.source = source
        self._served = set(served)

    def find(
        self, requests: Sequence[Request], *, whole: bool, has_live_model: bool, can_wait: bool = False
    ) -> RecordedResponse | None:
        """The recorded response to a request, or ``None`` if the live model must be called.

        Args:
            requests: the variants of one request; any of them may match.
            whole: the response must be complete.
            has_live_model: there is a live model to call.
            can_wait: the call can wait until it is cancelled, so that a cancelled call may be served.

        Raises:
            NoRecording: no call matches, and the mode does not allow a live call.
            ReplayError: the recording cannot be read.
        """
        __tracebackhide__ = True
        with self.lock:
            response, recorded = self._serve(self.source, self._served, requests, whole, can_wait)
            if response is None:
                response = self.find_in_others(requests, whole=whole, can_wait=can_wait)
            if response is not None:
                return response
            if self._mode == "new_episodes" and has_live_model:
                return None
            raise self._no_recording(self._mismatch(requests, whole=whole, recorded=recorded))

    def find_in_others(self, requests: Sequence[Request], *, whole: bool, can_wait: bool) -> RecordedResponse | None:
        """The response in a source that ``add_sources`` added, or ``None``; see ``find``."""
        with self.lock:
            found = (self._serve(source, served, requests, whole, can_wait)[0] for source, served in self._others)
            return next((response for response in found if response is not None), None)

    def _serve(
        self, source: CallSource, served: set[str], requests: Sequence[Request], whole: bool, can_wait: bool
    ) -> tuple[RecordedResponse | None, int]:
        """A response from one source, and the number of its matching calls."""
        recorded = 0
        for request in requests:
            calls = self._candidates(source, request, whole, can_wait)
            recorded += len(calls)
            unserved = [call for call in calls if call.location not in served]
            repeats = not unserved and bool(calls) and self._exhausted == "repeat"
            if request.kind in REPEATABLE and calls:
                call = _repeatable(request, calls, served)
            elif unserved or repeats:
                call = closest(request, unserved or calls[::-1])
            else:
                call = None
            if call is not None:
                served.add(call.location)
                self._counts.replayed += 1
                key = call.data.get("key") if source is self.source else None
                if isinstance(key, str):
                    self._used_keys.add(key)
                own = f"{call.location}\t{key if isinstance(key, str) else ''}" if source is self.source else ""
                self._forked.note("served", own.encode("utf-8", "surrogateescape"))
                return call.response(source.load_blob, new_ids=repeats), recorded
        return None, recorded

    def stream_end_error(self, chunks: int) -> NoRecording:
        """The error for a program that reads more than the recorded ``chunks`` of a stream; it is counted."""
        return self._no_recording(mismatch.explain_stream_end(chunks, self.source.name))

    def given_up_error(self, waited: float) -> NoRecording:
        """The error for a program that waits longer than ``waited`` seconds for a cancelled call; it is counted."""
        return self._no_recording(mismatch.explain_given_up(waited, self.source.name))

    def _candidates(self, source: CallSource, request: Request, whole: bool, can_wait: bool) -> list[RecordedCall]:
        calls = source.matching(request, self._matcher.key(request))
        return [call for call in calls if self._may_serve(call, request, whole, can_wait)]

    def _may_serve(self, call: RecordedCall, request: Request, whole: bool, can_wait: bool) -> bool:
        if call.given_up:
            if not can_wait:
                return False
        elif whole and call.stopped:
            return False
        # This mode can record the exact call, so a call of another model or with other settings must not replace it.
        return self._mode != "new_episodes" or similarity(request, call.request)[:2] == (True, True)

    def _mismatch(self, requests: Sequence[Request], *, whole: bool, recorded: int) -> str:
        if not recorded and (call := self._stopped_call(requests)) is not None:
            return mismatch.explain_stopped(call, self.source.name)
        sample = [] if recorded else [call for call in self.source.sample() if has_kind(requests[0].kind, call)]
        mode = None if self._is_journal else self._mode
        return mismatch.explain(requests[0], self.source.name, sample, recorded=recorded, mode=mode)

    def _stopped_call(self, requests: Sequence[Request]) -> RecordedCall | None:
        """A matching call whose response is not complete. A journal has no such calls."""
        if self._is_journal:
            return None
        found = (call for request in requests for call in self.source.matching(request, self._matcher.key(request)))
        return next((call for call in found if call.stopped), None)

    def _no_recording(self, message: str) -> NoRecording:
        with self.lock:
            self._counts.missed += 1
            self._forked.note("missed")
            error = NoRecording(message)
            self.first_miss = self.first_miss or error
            return error


def _repeatable(request: Request, calls: Sequence[RecordedCall], served: Set[str]) -> RecordedCall:
    """The next call in the recorded order, and at the end the last one that succeeded, any number of times."""
    if len(calls) == 1:
        return calls[0]
    nearest = max(similarity(request, call.request) for call in calls)
    alike = [call for call in calls if similarity(request, call.request) == nearest]
    unserved = [call for call in alike if call.location not in served]
    complete = [call for call in alike if call.succeeded]
    return unserved[0] if unserved else (complete or alike)[-1]
