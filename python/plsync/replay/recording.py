"""A recording in use: calls are served from it and added to it, by the mode it was opened with."""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from plsync._common.background import ForkGuard
from plsync.errors import NoRecording, ReplayError
from plsync.replay import mismatch
from plsync.replay.matching import Match, Matcher
from plsync.replay.modes import Counts, Exhausted, Mode, check
from plsync.replay.redaction import Redact, hide, safe_answer
from plsync.replay.request.request import Request
from plsync.replay.response.packing import pack
from plsync.replay.response.response import Answer
from plsync.replay.storage.blobs import Unwritten
from plsync.replay.storage.file import RecordingFile, line_of
from plsync.replay.storage.file_source import FileCalls, where
from plsync.replay.storage.recorded_call import Call, Source, alike, data_of, is_of, most_alike
from plsync.replay.storage.writer import Written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

    from plsync.journal.filters import Filters
    from plsync.journal.journal import Journal

__all__ = ["Recording"]


class Recording:
    """Recorded calls, and which of them have been served. Used from any number of threads and models at once.

    >>> from langchain_core.language_models import FakeListChatModel
    >>> from plsync.replay import Recording, with_recording
    >>> with Recording("./capitals.jsonl", mode="once") as recording:
    ...     model = with_recording(FakeListChatModel(responses=["Paris"]), recording)
    ...     model.invoke("The capital of France?").content
    'Paris'
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Journal,
        mode: Mode = "none",
        *,
        match: Match | None = None,
        exhausted: Exhausted = "fail",
        speed: float | None = None,
        redact: Redact | None = None,
        filters: Filters | None = None,
    ) -> None:
        """Opens a recording; nothing is read before the first call.

        Args:
            path: the file, which need not exist; or a journal, or its directory, whose calls are served as they are.
            mode: ``none``, ``once``, ``new_episodes`` or ``all``; a journal takes ``none`` alone.
            match: what must be alike: names of parts (``messages``, ``stop``, ``tools``, ``tool_choice``,
                ``response_format``, ``model``, ``class``, ``settings``; the first five by default), or a function from
                a request, a dict, to a JSON value that must be.
            exhausted: when a request is made more often than recorded: ``fail``, or ``repeat`` the last answer with a
                fresh message id.
            speed: serve chunks at the recorded pace, times this; at once by default.
            redact: called with what was asked and, when recording, with what came back, both as JSON; returns what
                may be kept, or None to keep nothing: then the call is not recorded.
            filters: which records of a journal are served: those of ``Journal.records()``.

        Raises:
            ValueError: an unknown mode, part or ``exhausted``, a speed that is not above 0, a journal with another
                mode than ``none``.
        """
        check(mode, exhausted, speed)
        self.mode: Mode = mode
        self.exhausted: Exhausted = exhausted
        self.speed = speed
        self.matcher = Matcher(match)
        self.counts = Counts()
        self.first_miss: NoRecording | None = None
        self._settings = {
            **{"mode": mode, "match": match, "exhausted": exhausted},
            **{"speed": speed, "redact": redact, "filters": filters},
        }
        self._redact = redact
        self._lock = threading.RLock()
        self._served: set[str] = set()
        self._open(path, filters)

    def _open(self, path: str | os.PathLike[str] | Journal, filters: Filters | None) -> None:
        self._written: Written | None = None
        self._source: Source
        self._records_all = self.mode == "all"
        if isinstance(path, (str, os.PathLike)) and not os.path.isdir(path):
            self.path = Path(os.path.abspath(path))
            _settle_others(self)
            self._file = RecordingFile(self.path)
            self._source = FileCalls(self._file, self.matcher)
            self._records_all |= self.mode == "once" and not self._file.exists()
            self._written = Written(self._file, anew=self.mode == "all")
        else:
            from plsync.replay.storage.journal_source import JournalCalls  # noqa: PLC0415 - most recordings are files

            if self.mode != "none":
                raise ValueError(
                    f"a journal is recorded by PromptLayerCallbackHandler: mode is 'none', not {self.mode!r}"
                )
            self._source = JournalCalls.open(path, self.matcher, filters)
            self.path = Path(self._source.name)

    def __enter__(self) -> Self:
        """The recording itself."""
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Closes it."""
        self.close()

    def __repr__(self) -> str:
        """Names the file or journal and the mode."""
        return f"<Recording {self.path} mode={self.mode!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        """Another process opens the same file."""
        return _reopen, (os.fspath(self.path), self._settings)

    def __copy__(self) -> Recording:
        """The recording itself: models are copied, what they are recorded to is not."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Recording:
        """The recording itself."""
        return self

    # --- serving ---

    @property
    def only_serves(self) -> bool:
        """Whether no model is ever asked."""
        return not self._records_all and self.mode != "new_episodes"

    def prepared(self, request: Request, secrets: tuple[str, ...]) -> Request:
        """The request as it is kept: without the model's keys, and what the hook takes out."""
        if not secrets and self._redact is None:
            return request
        asked = hide(request.asked, secrets)
        if self._redact is not None:
            asked = self._redact(asked) or {}
        return replace(request, asked=asked, settings=hide(request.settings, secrets))

    def find(self, requests: Sequence[Request], *, whole: bool, asks: bool = True) -> Answer | None:
        """The recorded answer to a request, or ``None`` when the model is to be asked.

        Args:
            requests: as ``prepared`` returned them: ways to word one request, of which any will do.
            whole: the answer must not end where the recorded program stopped reading.
            asks: there is a model that can be asked.

        Raises:
            NoRecording: there is none, and the mode does not allow to ask the model.
            ReplayError: the recording cannot be read.
        """
        if self._records_all and asks:
            return None
        with self._lock:
            recorded = 0
            for request in requests:
                calls = self._candidates(request, whole)
                recorded += len(calls)
                waiting = [call for call in calls if call.where not in self._served]
                repeats = not waiting and bool(calls) and self.exhausted == "repeat"
                if waiting or repeats:
                    call = most_alike(request, waiting or calls[::-1])
                    self._served.add(call.where)
                    self.counts.replayed += 1
                    return call.answer(self._source.load, fresh=repeats)
            if self.mode == "new_episodes" and asks:
                return None
            if whole and not recorded and (cut := self._cut(requests)) is not None:
                raise self._missed(
                    f"the recorded program stopped reading this answer ({cut.where} of {self._source.name}), so it is "
                    "not known whole; no model was asked: record the call anew"
                )
            sample = [] if recorded else [call for call in self._source.sample() if is_of(requests[0].kind, call)]
            mode = None if self._written is None else self.mode
            said = mismatch.explain(requests[0], self._source.name, sample, recorded=recorded, mode=mode)
            raise self._missed(said)

    def _candidates(self, request: Request, whole: bool) -> list[Call]:
        calls = self._source.matching(request, self.matcher.key(request))
        return [call for call in calls if self._may_serve(call, request, whole)]

    def _cut(self, requests: Sequence[Request]) -> Call | None:
        """A call that answers in part."""
        if self._written is None:  # a journal has none
            return None
        found = (call for one in requests for call in self._source.matching(one, self.matcher.key(one)))
        return next((call for call in found if call.stopped), None)

    def _may_serve(self, call: Call, request: Request, whole: bool) -> bool:
        if whole and call.stopped:
            return False
        # Where the right one can be had, none of another model or other settings takes its place.
        return self.mode != "new_episodes" or alike(request, call.request)[:2] == (True, True)

    def cut_short(self, chunks: int) -> NoRecording:
        """The error for a stream that is read further than it was when it was recorded; it is counted."""
        return self._missed(
            f"the recorded program stopped reading this answer after {chunks} chunks, so what follows is unknown; "
            f"the chunks were served from {self._source.name}: record the call anew to read on"
        )

    def _missed(self, message: str) -> NoRecording:
        with self._lock:
            self.counts.missed += 1
            error = NoRecording(message)
            self.first_miss = self.first_miss or error
            return error

    def first_call(self) -> Call | None:
        """A recorded call, to see what kind of model was recorded; ``None`` when there is none."""
        return self._source.first()

    # --- recording ---

    def add(
        self,
        request: Request,
        answer: dict[str, Any],
        ms: list[int],
        span: tuple[int, int],
        *,
        secrets: tuple[str, ...],
        blobs: Unwritten,
    ) -> None:
        """Keep a call that has ended.

        Args:
            request: as ``prepared`` returned it.
            answer: as tagged JSON; chunks may be packed.
            ms: see ``Answer``.
            span: monotonic ns of its start and its end.
            secrets: what must not be in it.
            blobs: large binaries of what is packed.

        Raises:
            ReplayError: it cannot be written.
        """
        packed: dict[str, Any] = hide(safe_answer(pack(answer, blobs.keep)), secrets)
        if self._redact is not None:
            kept = self._redact(packed) if request.asked else None
            if kept is None:
                return
            packed = kept
        line = line_of({"key": Matcher().key(request), **data_of(request, packed, ms)})
        with self._lock:
            self._writer().add(line, span, blobs)
            self.counts.recorded += 1

    def _writer(self) -> Written:
        if self._written is None:
            raise ReplayError(f"{self.path} is a journal, and only served from; nothing was changed")
        return self._written

    # --- looking after it ---

    def unused(self) -> list[Call]:
        """The calls of a file that were not served since it was opened; empty for a journal and in mode ``all``."""
        if self._written is None or self._records_all:
            return []
        with self._lock:
            mine = self._written.lines
            calls = FileCalls(self._file, self.matcher).calls()
            return [call for call in calls if call.where not in self._served and call.raw not in mine]

    def prune(self) -> int:
        """Remove the calls that were not used since it was opened, and binaries nothing names; returns how many.

        In mode ``all`` those that were not recorded anew are removed.

        Raises:
            ReplayError: it cannot be written; nothing was removed.
        """
        if self._written is None:
            return 0
        with self._lock:
            if self._records_all:
                return self._written.prune(None)
            pruned = self._written.prune(lambda number: where(number) in self._served)
            # Other lines have their numbers now, and each that is left was served or is ours.
            self._source = left = FileCalls(self._file, self.matcher)
            self._served = {call.where for call in left.calls()}
            return pruned

    def close(self) -> None:
        """Bring what was recorded into its order. A recording may be used again after that.

        Raises:
            ReplayError: it cannot be written; every call is in it all the same.
        """
        if self._written is not None:
            with self._lock:
                self._written.settle()


_opened: weakref.WeakSet[Recording] = weakref.WeakSet()
# A child that a program forks meanwhile opens recordings too.
_opening = ForkGuard(1.0)


def _settle_others(recording: Recording) -> None:
    """Bring the file into its order first, where others of this process have yet to.

    Calls must not move while they are served, and a model that was recorded and is dropped closes its recording
    whenever Python's collector comes by.
    """
    with _opening:
        others = [other for other in _opened if other.path == recording.path]
        _opened.add(recording)
    for other in others:
        # Whoever records is told when the recording is closed.
        with contextlib.suppress(ReplayError):
            other.close()


def _reopen(path: str, settings: dict[str, Any]) -> Recording:
    return Recording(path, **settings)
