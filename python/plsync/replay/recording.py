"""``Recording``: a file of recorded calls in use. The mode decides whether a call is served or recorded."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from plsync.errors import NoRecording, ReplayError
from plsync.replay.matching import Match, Matcher, digest
from plsync.replay.options import Exhausted, Mode, ReplayOptions, check_names, check_values
from plsync.replay.playback import Counts, Playback
from plsync.replay.redaction import Redact, redact_response, redact_values, without_secrets
from plsync.replay.request.request import Kind, Request
from plsync.replay.response.packing import pack
from plsync.replay.storage.blobs import PendingBlobs
from plsync.replay.storage.file import RecordingFile, key_of, line_of
from plsync.replay.storage.file_source import FileSource, line_name
from plsync.replay.storage.open_recordings import close_others
from plsync.replay.storage.recorded_call import REPEATABLE, RecordedCall, line_data
from plsync.replay.storage.writer import RecordingWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from typing_extensions import Self

    from plsync.journal.filters import Filters
    from plsync.journal.journal import Journal
    from plsync.replay.response.response import RecordedResponse

__all__ = ["Recording", "as_recording"]


class Recording:
    """Recorded calls in use. Any number of threads and models may share a recording.

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
        also: Sequence[str | os.PathLike[str]] = (),
        record_errors: bool = True,
    ) -> None:
        """Opens a recording. Nothing is read before the first call.

        Args:
            path: a file, which need not exist; or a journal or its directory, whose calls are served.
            mode: ``none`` (default), ``once``, ``new_episodes`` or ``all``; only ``none`` for a journal.
            match: the parts of a request that must be equal, as a list of names. The default is ``messages``, ``stop``,
                ``tools``, ``tool_choice`` and ``response_format``. Further names: ``model``, ``class``, ``settings``
                (of the call) and ``model_settings`` (of the model and the call). Or a function from a request, a
                dict, to the JSON value that must be equal.
            exhausted: ``fail`` refuses a request that is made more often than it was recorded. ``repeat`` serves its
                last response again, with a new message id.
            speed: serve chunks at this multiple of the recorded pace; None serves them at once.
            redact: a hook that receives a request and, while recording, a response, both as JSON. It returns the part
                that may be kept, or None to record nothing.
            filters: the filters of ``Journal.records()``: a journal serves only these records.
            also: other recordings, in the order of their use. They serve missing calls, except in mode
                ``all``, and are never changed.
            record_errors: False leaves out calls that raised an exception, so that the next run makes them again.

        Raises:
            ValueError: the mode, ``match`` or ``exhausted`` is unknown, ``speed`` is not above 0, or a journal is
                opened with another mode than ``none``.
        """
        check_values(mode, exhausted, speed)
        self.path: Path
        """The absolute path of the file or journal."""
        self.mode: Mode = mode
        self.exhausted: Exhausted = exhausted
        self.speed = speed
        self._options: ReplayOptions = {
            "match": match,
            "exhausted": exhausted,
            "speed": speed,
            "redact": redact,
            "filters": filters,
            "also": tuple(os.path.abspath(other) for other in also),
            "record_errors": record_errors,
        }
        self._redact = redact
        self._record_errors = record_errors
        self._matcher = Matcher(match)
        self._writer: RecordingWriter | None = None
        # The requests of repeatable kinds that succeeded and were recorded.
        self._recorded: set[str] = set()
        self._records_all = mode == "all"
        self._adds = mode == "new_episodes"
        if isinstance(path, (str, os.PathLike)) and not os.path.isdir(path):
            self._open_file(path)
        else:
            self._open_journal(path, filters)
        if mode != "all":
            others = map(RecordingFile, self._options["also"])
            self._playback.add_sources(FileSource(other, self._matcher) for other in others)

    def _open_file(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.abspath(path))
        close_others(self)
        self._file = RecordingFile(self.path)
        source = FileSource(self._file, self._matcher)
        self._records_all |= self.mode == "once" and not self._file.exists()
        self._playback = Playback(source, self._matcher, self.mode, self.exhausted, is_journal=False)
        # Last: another thread may close this recording as soon as it has a writer.
        self._writer = RecordingWriter(self._file, self._matcher, replace=self.mode == "all")

    def _open_journal(self, path: str | os.PathLike[str] | Journal, filters: Filters | None) -> None:
        from plsync.replay.storage.journal_source import JournalSource  # noqa: PLC0415 - most recordings are files

        if self.mode != "none":
            advice = "PromptLayerCallbackHandler records into a journal"
            raise ValueError(f"a journal is only served, so its mode is 'none', not {self.mode!r}: {advice}")
        source = JournalSource.open(path, self._matcher, filters)
        self.path = Path(source.name)
        self._playback = Playback(source, self._matcher, self.mode, self.exhausted, is_journal=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Recording {self.path} mode={self.mode!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process opens the same file.
        return _reopen, (os.fspath(self.path), "new_episodes" if self._adds else self.mode, self._options)

    def __copy__(self) -> Recording:
        # A copy of a model keeps its recording.
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Recording:
        return self

    # --- serving ---

    @property
    def counts(self) -> Counts:
        """The numbers of calls since the recording was opened: ``recorded``, ``replayed``, ``missed``."""
        return self._playback.counts

    @property
    def first_miss(self) -> NoRecording | None:
        """The first error for a call without a recording; ``None`` if every call had one."""
        return self._playback.first_miss

    @property
    def only_serves(self) -> bool:
        """Whether the recording never calls a live model."""
        return not self._records_all and not self._adds

    @property
    def compares_model_settings(self) -> bool:
        """Whether ``match`` compares the settings that a model is made with."""
        return self._matcher.compares_model_settings

    def redact_request(self, request: Request, secrets: tuple[str, ...]) -> Request:
        """The request that is compared and stored: without the model's keys, and after the ``redact`` hook."""
        if not secrets and self._redact is None:
            return request
        body = redact_values(request.body, secrets)
        if self._redact is not None:
            body = self._redact(body) or {}
        settings, model_settings = (redact_values(each, secrets) for each in (request.settings, request.model_settings))
        return replace(request, body=body, settings=settings, model_settings=model_settings)

    def find(
        self, requests: Sequence[Request], *, whole: bool, has_live_model: bool = True, can_wait: bool = False
    ) -> RecordedResponse | None:
        """The recorded response to a request, or ``None`` if the live model must be called.

        Args:
            requests: the variants of one request, from ``redact_request``; any of them may match.
            whole: the response must be complete: the recorded program read it to its end.
            has_live_model: there is a live model to call.
            can_wait: the call can wait until it is cancelled, so that a cancelled call may be served.

        Raises:
            NoRecording: no call matches, and the mode does not allow a live call or there is no live model.
            ReplayError: the recording cannot be read.
        """
        __tracebackhide__ = True
        if self._records_all and has_live_model:
            # A key that cannot be computed is reported now and not in the next run.
            if not self._matcher.is_default:
                for request in requests:
                    self._matcher.key(request)
            return self._playback.find_in_others(requests, whole=whole, can_wait=can_wait)
        return self._playback.find(requests, whole=whole, has_live_model=has_live_model, can_wait=can_wait)

    def stream_end_error(self, chunks: int) -> NoRecording:
        """The error for a program that reads a stream further than the recorded program did; it is counted."""
        return self._playback.stream_end_error(chunks)

    def given_up_error(self, waited: float) -> NoRecording:
        """The error for a program that waits longer than the recorded program, which waited ``waited`` seconds."""
        return self._playback.given_up_error(waited)

    def first_call(self, kind: Kind | None = None) -> RecordedCall | None:
        """A recorded call, to learn the recorded kind of model; ``None`` without calls.

        Args:
            kind: the kind of the call; ``None`` for a chat model or a text model, if there is one.
        """
        return self._playback.source.first((kind,) if kind else ("chat", "llm"))

    # --- recording ---

    def add(
        self,
        request: Request,
        response: dict[str, Any],
        ms: list[int],
        span: tuple[int, int],
        *,
        secrets: tuple[str, ...],
        blobs: PendingBlobs,
    ) -> None:
        """Record a call that has ended.

        Args:
            request: the result of ``redact_request``.
            response: tagged JSON; its chunks may be packed.
            ms: the model's time before each chunk and after the last one, in milliseconds.
            span: start and end of the call, in monotonic nanoseconds.
            secrets: texts that the recording must not hold.
            blobs: the large binaries of packed chunks.

        Raises:
            ReplayError: the file cannot be written.
        """
        if "error" in response and not self._record_errors:
            return
        packed: dict[str, Any] = without_secrets(redact_response(pack(response, blobs.add)), secrets)
        if self._redact is not None:
            kept = self._redact(packed) if request.body else None
            if kept is None:
                return
            packed = kept
        if self._writer is None:
            raise ReplayError(f"{self.path} is a journal, which is only served; nothing was changed: use a file")
        if self._repeats(request, packed):
            return
        line = line_of({"key": Matcher().key(request), **line_data(request, packed, ms)})
        with self._playback.lock:
            self._writer.add(line, span, blobs)
            self._playback.count_recorded(line)

    def _repeats(self, request: Request, response: dict[str, Any]) -> bool:
        """Whether this run has recorded a response to the same request. One response serves it any number of times."""
        if request.kind not in REPEATABLE or "error" in response or "stopped" in response:
            return False
        name = digest(request.as_dict())
        with self._playback.lock:
            repeats = name in self._recorded
            self._recorded.add(name)
        return repeats

    # --- maintenance ---

    def used_keys(self) -> set[str]:
        """The stored keys of the calls that were served or recorded since the file was opened."""
        with self._playback.lock:
            own = (self._writer.own_lines | self._playback.forked_lines) if self._writer else ()
            return self._playback.used_keys | {key.decode() for key in map(key_of, own) if key is not None}

    def keep_used_by(self, other: Recording) -> None:
        """Count the calls as used that another recording served from this file or wrote into it."""
        with self._playback.lock:
            self._playback.mark_served(other._playback.served_in(str(self.path)))
            if self._writer is not None and other._writer is not None and other.path == self.path:
                self._writer.keep(other._writer.own_lines | other._playback.forked_lines)

    def unused(self) -> list[RecordedCall]:
        """The calls of a file that ``prune`` would remove; empty for a journal.

        They were not served since the file was opened. In mode ``all`` they were not recorded again.
        """
        if self._writer is None:
            return []
        with self._playback.lock:
            self._writer.keep(self._playback.forked_lines)
            calls = FileSource(self._file, self._matcher).calls()
            if self._records_all:
                left = self._writer.not_replaced()
                return [call for call in calls if call.raw in left]
            own = self._writer.own_lines
            return [call for call in calls if not self._playback.is_served(call.location) and call.raw not in own]

    def prune(self) -> int:
        """Remove the calls that were not used since the file was opened, and binaries that no recording names.

        In mode ``all``, the calls that were not recorded again are removed.

        Returns:
            The number of calls that were removed.

        Raises:
            ReplayError: the file cannot be written; nothing was removed.
        """
        if self._writer is None:
            return 0
        with self._playback.lock:
            self._writer.keep(self._playback.forked_lines)
            if self._records_all:
                return self._writer.prune(None)
            pruned = self._writer.prune(lambda number: self._playback.is_served(line_name(number)))
            # Lines have moved. Every line that is left was served, or this process recorded it.
            source = FileSource(self._file, self._matcher)
            self._playback.restart(source, (call.location for call in source.calls()))
            return pruned

    def close(self) -> None:
        """Bring the recorded calls into their order. The recording may be used again after that.

        Raises:
            ReplayError: the file cannot be written; it still holds every call.
        """
        if self._writer is not None:
            with self._playback.lock:
                self._writer.sort()


def as_recording(
    recording: str | os.PathLike[str] | Journal | Recording, mode: Mode, options: ReplayOptions
) -> Recording:
    """The recording that an argument names: an open ``Recording`` itself, or the file or journal at a path.

    Raises:
        TypeError: an option is unknown.
        ValueError: see ``Recording``; the options of an open recording are not used, and not checked.
    """
    check_names(options)
    return recording if isinstance(recording, Recording) else Recording(recording, mode, **options)


def _reopen(path: str, mode: Mode, options: ReplayOptions) -> Recording:
    return Recording(path, mode, **options)
