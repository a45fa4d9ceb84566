"""One call of a grafted model: looked up in the recording first, then, if the mode allows it, made and recorded."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from plsync.replay.proxy.capture import Take
from plsync.replay.proxy.proxy_class import graft_of, live_view, pace
from plsync.replay.request.request import MODEL_NAMES, Request, of_call
from plsync.replay.request.structured_output import wordings
from plsync.replay.response.response import Answer

__all__ = ["Ask"]


class Ask:
    """What is asked of a model, and the ways to answer."""

    def __init__(self, model: Any, given: Any, stop: Sequence[str] | None, options: Mapping[str, Any]) -> None:
        """Nothing happens yet."""
        graft = graft_of(model)
        self.given = given
        self._model = model
        self._graft = graft
        self._recording = graft.recording
        self._secrets, own = graft.about(model)
        self._classes = _classes(options) if options else ()
        values = vars(model)
        name = next((values[name] for name in MODEL_NAMES if isinstance(values.get(name), str)), None)
        ways = [options] if graft.asks else list(wordings(options))
        self._requests = [
            self._recording.prepared(
                of_call(graft.kind, given, stop=stop, options=way, model=name, class_name=graft.live.__name__, own=own),
                self._secrets,
            )
            for way in ways
        ]

    @property
    def request(self) -> Request:
        """What is asked, as it is kept."""
        return self._requests[0]

    def recorded(self, *, whole: bool) -> Answer | None:
        """The recorded answer; ``None`` when the model is to be asked.

        Raises:
            NoRecording: there is no answer, and the mode or the lack of a model does not allow to ask one.
        """
        answer = self._recording.find(self._requests, whole=whole, asks=self._graft.asks)
        if answer is not None and self._classes:
            answer.may_hold(self._classes)
        return answer

    # --- serving ---

    def pauses(self, answer: Answer, parts: int) -> Iterator[float]:
        """Seconds to wait before each part of an answer, and before its end."""
        return pace(answer.waits(parts), self._recording.speed)

    def tell(self, answer: Answer, manager: Any) -> None:
        """Report the tokens that were reported during a plain call, take the time it took, raise what it raised."""
        tokens = answer.tokens()
        if tokens or self._recording.speed:
            self._tell(answer, tokens, manager)
        _raise(answer)

    def _tell(self, answer: Answer, tokens: Sequence[tuple[str, Any]], manager: Any) -> None:
        pauses = self.pauses(answer, len(tokens))
        for text, chunk in tokens:
            _sleep(next(pauses))
            if manager is not None:
                manager.on_llm_new_token(text, **({} if chunk is None else {"chunk": chunk}))
        _sleep(next(pauses))

    async def atell(self, answer: Answer, manager: Any) -> None:
        """As ``tell``, without holding up the event loop."""
        tokens = answer.tokens()
        pauses = self.pauses(answer, len(tokens))
        for text, chunk in tokens:
            await _asleep(next(pauses))
            if manager is not None:
                await manager.on_llm_new_token(text, **({} if chunk is None else {"chunk": chunk}))
        await _asleep(next(pauses))
        _raise(answer)

    def serve(self, answer: Answer, parts: Sequence[Any], manager: Any = None) -> Iterator[Any]:
        """The parts of a stream, each reported to the callbacks if the model did so itself."""
        pauses = self.pauses(answer, len(parts))
        for part in parts:
            _sleep(next(pauses))
            if manager is not None and answer.told:
                manager.on_llm_new_token(part.text, chunk=part)
            yield part
        _sleep(next(pauses))
        self._end(answer, len(parts))

    async def aserve(self, answer: Answer, parts: Sequence[Any], manager: Any = None) -> AsyncIterator[Any]:
        """As ``serve``, without holding up the event loop."""
        pauses = self.pauses(answer, len(parts))
        for part in parts:
            await _asleep(next(pauses))
            if manager is not None and answer.told:
                await manager.on_llm_new_token(part.text, chunk=part)
            yield part
        await _asleep(next(pauses))
        self._end(answer, len(parts))

    def _end(self, answer: Answer, parts: int) -> None:
        _raise(answer)
        if answer.stopped:
            raise self._recording.cut_short(parts)

    # --- recording ---

    @contextlib.contextmanager
    def live(self) -> Iterator[tuple[Any, Take]]:
        """The model as it was before the graft, when it is its turn, and what records its answer."""
        turnstile = self._graft.turnstile(self._model)
        with turnstile.turn() if turnstile else contextlib.nullcontext():
            yield live_view(self._model), self._take()

    @contextlib.asynccontextmanager
    async def alive(self) -> AsyncIterator[tuple[Any, Take]]:
        """As ``live``, without holding up the event loop."""
        turnstile = self._graft.turnstile(self._model)
        async with turnstile.async_turn() if turnstile else contextlib.nullcontext():
            yield live_view(self._model), self._take()

    def _take(self) -> Take:
        return Take(self._recording, self.request, self._secrets, self._classes)


def _classes(options: Mapping[str, Any]) -> tuple[type, ...]:
    """Of which a provider's SDK may make objects: response formats and tools that are classes."""
    values = [item for value in options.values() for item in (value if isinstance(value, (list, tuple)) else [value])]
    return tuple(value for value in values if isinstance(value, type))


def _raise(answer: Answer) -> None:
    error = answer.error()
    if error is not None:
        raise error


def _sleep(seconds: float) -> None:
    if seconds > 0:
        time.sleep(seconds)


async def _asleep(seconds: float) -> None:
    if seconds > 0:
        await asyncio.sleep(seconds)
