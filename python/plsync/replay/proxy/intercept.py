"""One intercepted call: looked up in the recording, and replayed; or, if the mode allows it, made live and recorded."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from plsync._common.known_secrets import secrets_in, secrets_in_error
from plsync.errors import NoRecording
from plsync.replay.proxy.capture import CallCapture
from plsync.replay.proxy.place import place_of
from plsync.replay.proxy.proxy_class import live_view, proxy_class_of
from plsync.replay.proxy.turns import wait_for_turn
from plsync.replay.recording import Recording
from plsync.replay.request.request import Request, request_of_call
from plsync.replay.request.settings import MODEL_NAME_FIELDS, settings_of_model
from plsync.replay.request.structured_output import variants
from plsync.replay.response.response import RecordedResponse

__all__ = ["InterceptedCall", "raise_recorded_error", "replayed_from", "wait_to_be_cancelled"]

# Seconds that a program may wait longer than the recorded program for a call that was cancelled.
_PATIENCE: Final = 30.0


class InterceptedCall:
    """One call of a proxied model.

    ``find_response`` looks for a recorded response. ``replay`` and ``replay_stream`` serve it. Without one, ``record``
    calls the live model and captures its response.
    """

    def __init__(
        self,
        model: Any,
        model_input: Any,
        stop: Sequence[str] | None,
        options: Mapping[str, Any],
        manager: Any = None,
    ) -> None:
        """Prepares the request of a call.

        Args:
            model: the proxied model.
            model_input: a list of messages, or a prompt.
            stop: the stop words of the call.
            options: the keyword arguments of the call.
            manager: the callback manager of the call.
        """
        self.model_input = model_input
        self._options = options
        self._model = model
        self._proxy = proxy_class_of(model)
        self._recording = self._proxy.recording
        self._secrets, defaults = self._proxy.secrets_and_defaults(model)
        self._call_classes = _classes(options) if options else ()
        values = vars(model)
        name = next((values[field] for field in MODEL_NAME_FIELDS if isinstance(values.get(field), str)), None)
        compares = self._recording.compares_model_settings
        model_settings = settings_of_model(self._proxy.kind, model) if compares else None
        self._requests = [
            self._recording.redact_request(
                request_of_call(
                    self._proxy.kind,
                    model_input,
                    stop=stop,
                    options=variant,
                    model=name,
                    class_name=self._proxy.live_class.__name__,
                    defaults=defaults,
                    model_settings=model_settings,
                ),
                self._secrets,
            )
            for variant in ([options] if self._proxy.has_live_model else variants(options))
        ]
        if (place := place_of(manager)) is not None:
            self._requests = [replace(request, place=place) for request in self._requests]

    @property
    def request(self) -> Request:
        """The request as the recording stores it."""
        return self._requests[0]

    def find_response(self, *, whole: bool, can_wait: bool = False) -> RecordedResponse | None:
        """The recorded response; ``None`` if the live model must be called.

        Args:
            whole: the response must be complete.
            can_wait: the call can wait until it is cancelled, so that a cancelled call may be served.

        Raises:
            NoRecording: nothing matches, and the mode forbids a live call or there is no live model.
        """
        __tracebackhide__ = True
        try:
            response = self._recording.find(
                self._requests, whole=whole, has_live_model=self._proxy.has_live_model, can_wait=can_wait
            )
        except NoRecording as error:
            # The search for the call explains nothing to the reader of the traceback.
            raise error.with_traceback(None)  # noqa: B904 - the same error
        if response is not None and self._call_classes:
            response.allow_classes(self._call_classes)
        return response

    # --- serving ---

    def replay(self, response: RecordedResponse, manager: Any) -> None:
        """Report the tokens of a plain call, wait as long as it took, and raise its exception."""
        tokens = response.tokens()
        if tokens or self._recording.speed:
            pauses = self._pauses(response, len(tokens))
            for text, chunk in tokens:
                _sleep(next(pauses))
                if manager is not None:
                    manager.on_llm_new_token(text, **({} if chunk is None else {"chunk": chunk}))
            _sleep(next(pauses))
        raise_recorded_error(response)

    async def areplay(self, response: RecordedResponse, manager: Any) -> None:
        """The async form of ``replay``."""
        tokens = response.tokens()
        pauses = self._pauses(response, len(tokens))
        for text, chunk in tokens:
            await self._await_part(next(pauses), 0.0)
            if manager is not None:
                await manager.on_llm_new_token(text, **({} if chunk is None else {"chunk": chunk}))
        if response.given_up:
            await wait_to_be_cancelled(self._recording, response)
        await self._await_part(next(pauses), sum(response.delays(0)))
        raise_recorded_error(response)

    def replay_stream(self, response: RecordedResponse, parts: Sequence[Any], manager: Any = None) -> Iterator[Any]:
        """Yield the parts of a stream. Parts that the model itself reported are reported to the callbacks."""
        pauses = self._pauses(response, len(parts))
        for part in parts:
            _sleep(next(pauses))
            if manager is not None and response.reports_chunks:
                manager.on_llm_new_token(part.text, chunk=part)
            yield part
        _sleep(next(pauses))
        self._end_stream(response, len(parts))

    async def areplay_stream(
        self, response: RecordedResponse, parts: Sequence[Any], manager: Any = None
    ) -> AsyncIterator[Any]:
        """The async form of ``replay_stream``."""
        pauses = self._pauses(response, len(parts))
        delays = response.delays(len(parts))
        for part in parts:
            await self._await_part(next(pauses), next(delays))
            if manager is not None and response.reports_chunks:
                await manager.on_llm_new_token(part.text, chunk=part)
            yield part
        if response.given_up:
            await wait_to_be_cancelled(self._recording, response)
        await self._await_part(next(pauses), next(delays))
        self._end_stream(response, len(parts))

    async def _await_part(self, pause: float, recorded: float) -> None:
        """Wait at the recorded pace. Without a pace, wait for the calls that end earlier."""
        if self._recording.speed:
            await _asleep(pause)
        else:
            await wait_for_turn(recorded)

    def _end_stream(self, response: RecordedResponse, parts: int) -> None:
        __tracebackhide__ = True
        raise_recorded_error(response)
        if response.stopped:
            raise self._recording.stream_end_error(parts)

    def _pauses(self, response: RecordedResponse, parts: int) -> Iterator[float]:
        """Seconds to sleep before each part and before the end; a part that is late shortens the next pause."""
        speed = self._recording.speed
        due = time.monotonic()
        for delay in response.delays(parts):
            due += delay / speed if speed else 0.0
            yield max(0.0, due - time.monotonic()) if speed else 0.0

    # --- recording ---

    @contextlib.contextmanager
    def record(self) -> Iterator[tuple[Any, CallCapture]]:
        """The live model, under its lock if it has one, and the capture of its response."""
        if (limiter := self._proxy.limiter_of(self._model)) is not None:
            limiter.acquire(blocking=True)
        lock = self._proxy.lock_of(self._model)
        with lock.hold() if lock else contextlib.nullcontext():
            yield live_view(self._model), self._capture()

    @contextlib.asynccontextmanager
    async def arecord(self) -> AsyncIterator[tuple[Any, CallCapture]]:
        """The async form of ``record``. A call that is cancelled while it waits for the model is recorded, too."""
        waiting = self._capture()
        async with contextlib.AsyncExitStack() as stack:
            try:
                if (limiter := self._proxy.limiter_of(self._model)) is not None:
                    await limiter.aacquire(blocking=True)
                if (lock := self._proxy.lock_of(self._model)) is not None:
                    await stack.enter_async_context(lock.ahold())
            except asyncio.CancelledError:
                waiting.finish_given_up()
                raise
            yield live_view(self._model), self._capture()

    def _capture(self) -> CallCapture:
        return CallCapture(self._recording, self.request, self._known_secrets, self._call_classes)

    def _known_secrets(self, error: BaseException | None) -> tuple[str, ...]:
        """The keys and passwords that the live call used. A client may have computed its key during the call."""
        found = {*self._secrets, *secrets_in(live_view(self._model), self._options)}
        if error is not None:
            found.update(secrets_in_error(error))
        return tuple(sorted(found, key=len, reverse=True))


def _classes(options: Mapping[str, Any]) -> tuple[type, ...]:
    """Response formats and tools that are classes: a provider's SDK may return objects of them."""
    values = [item for value in options.values() for item in (value if isinstance(value, (list, tuple)) else [value])]
    return tuple(value for value in values if isinstance(value, type))


def replayed_from(error: BaseException) -> str | None:
    """The recording and line of an error that plsync replayed; ``None`` for any other error.

    The error itself has no mark: a test may compare its attributes, its text and its notes.
    """
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code is raise_recorded_error.__code__:
            return str(traceback.tb_frame.f_locals["response"].place)
        traceback = traceback.tb_next
    return None


async def wait_to_be_cancelled(recording: Recording, response: RecordedResponse) -> None:
    """Wait like the model whose call was cancelled.

    Raises:
        NoRecording: the program waits longer than the recorded program.
    """
    waited = sum(response.delays(0))
    await asyncio.sleep(waited / (recording.speed or 1.0) + _PATIENCE)
    raise recording.given_up_error(waited)


def raise_recorded_error(response: RecordedResponse) -> None:
    """Raise the exception of a recorded call that failed."""
    __tracebackhide__ = True
    error = response.error()
    if error is not None:
        raise error


def _sleep(seconds: float) -> None:
    if seconds > 0:
        time.sleep(seconds)


async def _asleep(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)
