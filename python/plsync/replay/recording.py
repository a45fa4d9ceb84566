"""A recording in use: calls are served from it and added to it, by the mode it was opened with."""

from __future__ import annotations

import os
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, get_args

from plsync.errors import NoRecording, ReplayError
from plsync.replay import miss
from plsync.replay.answers import Answer
from plsync.replay.calls import Call, Source
from plsync.replay.file_calls import FileCalls, where
from plsync.replay.files import RecordingFile, line_of
from plsync.replay.hiding import Redact, hide, safe_answer
from plsync.replay.matching import Match, Matcher
from plsync.replay.packing import pack
from plsync.replay.requests import Kind, Request
from plsync.replay.settling import New, settled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

    from plsync.filters import Filters
    from plsync.journal import Journal

__all__ = ["Counts", "Exhausted", "Mode", "Recording"]

Mode = Literal["none", "once", "new_episodes", "all"]
"""What happens to a call: ``none`` serves what is recorded and nothing else; ``once`` records into a new recording and
serves one that exists; ``new_episodes`` serves what is recorded and records the rest; ``all`` records everything."""

Exhausted = Literal["fail", "repeat"]
"""What happens when a request is made more often than it was recorded."""


@dataclass(slots=True)
class Counts:
    """What happened to the calls of a recording since it was opened."""

    recorded: int = 0
    replayed: int = 0
    missed: int = 0


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
                may be kept. Where it returns None for an answer, the call is not recorded.
            filters: which records of a journal are served: those of ``Journal.records()``.

        Raises:
            ValueError: an unknown mode, part or ``exhausted``, a speed that is not above 0, a journal with another
                mode than ``none``.
        """
        if mode not in get_args(Mode):
            raise ValueError(f"{mode!r} is not a mode: there are {', '.join(get_args(Mode))}")
        if exhausted not in get_args(Exhausted):
            raise ValueError(f"exhausted is 'fail' or 'repeat', not {exhausted!r}")
        if speed is not None and not speed > 0:
            raise ValueError(f"speed is above 0, or None for at once, not {speed!r}")
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
        self._served: dict[str, dict[str, Call]] = {}
        self._new: list[New] = []
        self._mine: set[bytes] = set()
        self._open(path, filters)

    def _open(self, path: str | os.PathLike[str] | Journal, filters: Filters | None) -> None:
        self._file: RecordingFile | None = None
        self._source: Source
        if isinstance(path, (str, os.PathLike)) and not os.path.isdir(path):
            self.path = Path(os.path.abspath(path))
            self._file = RecordingFile(self.path)
            self._source = FileCalls(self._file, self.matcher)
        else:
            from plsync.replay.journal_calls import JournalCalls  # noqa: PLC0415 - most recordings are files

            if self.mode != "none":
                raise ValueError(
                    f"a journal is recorded by PromptLayerCallbackHandler: mode is 'none', not {self.mode!r}"
                )
            self._source = JournalCalls.open(path, self.matcher, filters)
            self.path = Path(self._source.name)
        self._records_all = self.mode == "all" or (self.mode == "once" and not (self._file and self._file.exists()))
        self._before: list[bytes] = self._file.read() if self._file and self.mode == "all" else []
        # At the end of the program at the latest.
        parts = (self._file, self._new, self._before, self._mine)
        self._settle = weakref.finalize(self, _settle, *parts) if self._file and not self.only_serves else None

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
        asked = hide(request.asked, secrets)
        if self._redact is not None:
            asked = self._redact(asked) or {}
        if asked is request.asked:
            return request
        return Request(request.kind, asked, request.model, request.class_name, hide(request.settings, secrets))

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
                calls, served = self._candidates(request, whole)
                recorded += len(calls)
                waiting = [call for call in calls if call.where not in served]
                repeats = not waiting and bool(calls) and self.exhausted == "repeat"
                if waiting or repeats:
                    call = _nearest(request, waiting or calls[::-1])
                    served[call.where] = call
                    self.counts.replayed += 1
                    return call.answer(self._source.load, fresh=repeats)
            if self.mode == "new_episodes" and asks:
                return None
            sample = [] if recorded else [call for call in self._source.sample() if _is_of(requests[0].kind, call)]
            said = miss.explain(requests[0], self._source.name, sample, recorded=recorded, mode=self.mode)
            raise self._missed(said)

    def _candidates(self, request: Request, whole: bool) -> tuple[list[Call], dict[str, Call]]:
        key = self.matcher.key(request)
        calls = [call for call in self._source.matching(request, key) if self._may_serve(call, request, whole)]
        return calls, self._served.setdefault(key, {})

    def _may_serve(self, call: Call, request: Request, whole: bool) -> bool:
        if whole and call.stopped:
            return False
        # Where the right one can be had, none of another model or other settings takes its place.
        return self.mode != "new_episodes" or _alike(request, call.request)[:2] == (True, True)

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
        self, request: Request, answer: dict[str, Any], ms: list[int], span: tuple[int, int], secrets: tuple[str, ...]
    ) -> None:
        """Keep a call that has ended.

        Args:
            request: as ``prepared`` returned it.
            answer: as tagged JSON, not packed.
            ms: see ``Answer``.
            span: monotonic ns of its start and its end.
            secrets: what must not be in it.

        Raises:
            ReplayError: it cannot be written.
        """
        file = self._writable()
        packed: dict[str, Any] | None = hide(safe_answer(pack(answer, file.keep)), secrets)
        if self._redact is not None:
            packed = self._redact(packed or {})
            if packed is None:
                return
        line = line_of(
            {
                "key": Matcher().key(request),
                "kind": request.kind,
                "model": request.model,
                "class": request.class_name,
                **({"settings": request.settings} if request.settings else {}),
                "request": request.asked,
                "answer": packed,
                "ms": ms,
            }
        )
        with self._lock:
            file.append(line)
            self._new.append(New(line, *span))
            self.counts.recorded += 1

    def keep(self, data: bytes) -> str:
        """Store a large binary; returns its name. Raises ReplayError when it cannot be written."""
        return self._writable().keep(data)

    def _writable(self) -> RecordingFile:
        if self._file is None:
            raise ReplayError(
                f"{self.path} is a journal, and only served from; nothing was changed: record into a file"
            )
        return self._file

    # --- looking after it ---

    def unused(self) -> list[Call]:
        """The calls of a file that were not served since it was opened; empty for a journal and in mode ``all``."""
        if self._file is None or self._records_all:
            return []
        with self._lock:
            served = {where for calls in self._served.values() for where in calls}
            mine = self._mine | {new.line for new in self._new}
            calls = FileCalls(self._file, self.matcher).calls()
            return [call for call in calls if call.where not in served and call.raw not in mine]

    def prune(self) -> int:
        """Remove the calls that were not used since it was opened, and binaries nothing names; returns how many.

        In mode ``all`` those that were not recorded anew are removed.

        Raises:
            ReplayError: it cannot be written; nothing was removed.
        """
        if self._file is None or not self._file.exists():
            return 0
        with self._lock:
            served = {call.where for calls in self._served.values() for call in calls.values()}
            with self._file.rewriting() as (lines, replace):
                kept = settled(lines, self._new, self._before)
                self._mine |= {new.line for new in self._new}
                self._new.clear()
                if self._records_all:
                    kept = [line for line in kept if line in self._mine or line not in self._before]
                else:
                    used = {line for number, line in enumerate(lines) if where(number) in served}
                    kept = [line for line in kept if line in used or line in self._mine]
                if kept != lines:
                    replace(kept)
            self._file.sweep()
            return len(lines) - len(kept)

    def close(self) -> None:
        """Bring what was recorded into its order. A recording may be used again after that."""
        if self._settle is not None:
            with self._lock:
                _settle(self._file, self._new, self._before, self._mine)


def _is_of(kind: Kind, call: Call) -> bool:
    try:
        return call.request.kind == kind
    except ReplayError:  # a line that holds no call is named when it is needed
        return False


def _nearest(request: Request, calls: list[Call]) -> Call:
    """The first of the calls that was made with the same model and settings, as far as there is one."""
    if len(calls) == 1:
        return calls[0]

    return max(calls, key=lambda call: _alike(request, call.request))


def _alike(one: Request, other: Request) -> tuple[bool, bool, bool]:
    """Whether model, settings and class are the same."""
    model = None in (one.model, other.model) or one.model == other.model
    return model, one.settings == other.settings, one.class_name == other.class_name


def _settle(file: RecordingFile | None, new: list[New], before: list[bytes], mine: set[bytes]) -> None:
    if file is None or not new or not file.exists():
        return
    with file.rewriting() as (lines, replace):
        kept = settled(lines, new, before)
        if kept != lines:
            replace(kept)
        mine |= {one.line for one in new}
        new.clear()


def _reopen(path: str, settings: dict[str, Any]) -> Recording:
    return Recording(path, **settings)
