"""One intercepted call with one or several inputs: the texts of embeddings, a token count, a query, a call of a tool.

Each input is a request by itself, so a program may put its texts into other batches than the recorded program. The
inputs that are not recorded go to the live object together.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any

from plsync._common.known_secrets import secrets_in, secrets_in_error
from plsync.replay.proxy.capture import CallCapture, shared_error
from plsync.replay.proxy.intercept import raise_recorded_error, wait_to_be_cancelled
from plsync.replay.proxy.live import live_object
from plsync.replay.proxy.proxy_class import live_view, proxy_class_of
from plsync.replay.proxy.turns import wait_for_turn
from plsync.replay.request.input import RequestMaker
from plsync.replay.request.request import Kind
from plsync.replay.response.response import RecordedResponse

__all__ = ["InterceptedInputs"]


class InterceptedInputs:
    """A call of a proxied object.

    ``find`` looks for recorded responses, and ``replay`` serves them. ``record`` calls the live object for the missing
    inputs.
    """

    def __init__(self, source: Any, kind: Kind, inputs: Sequence[Any], options: Mapping[str, Any]) -> None:
        """Prepares the requests.

        Args:
            source: the proxied object.
            kind: the kind of the requests.
            inputs: the inputs, as parsed tagged JSON.
            options: the other arguments of the call, by name.
        """
        self._source = source
        self._options = options
        self._proxy = proxy_class_of(source)
        self._recording = self._proxy.recording
        self._secrets = self._proxy.secrets_and_defaults(source)[0]
        name = self._proxy.live_class.__name__
        compares = self._recording.compares_model_settings
        maker = RequestMaker(kind, source, name, options, compares_settings=compares)
        self._requests = [self._recording.redact_request(maker.request(one), self._secrets) for one in inputs]
        self.responses: list[RecordedResponse | None] = []

    @property
    def missing(self) -> list[int]:
        """The positions of the inputs without a recorded response."""
        return [number for number, response in enumerate(self.responses) if response is None]

    def find(self, *, can_wait: bool = False) -> None:
        """Look for the recorded responses.

        Args:
            can_wait: the call can wait until it is cancelled, so that a cancelled call may be served.

        Raises:
            NoRecording: an input has no response, and the mode forbids a live call or there is no live object.
        """
        __tracebackhide__ = True
        has_live = self._proxy.has_live_model
        self.responses = [
            self._recording.find([request], whole=True, has_live_model=has_live, can_wait=can_wait)
            for request in self._requests
        ]

    # --- serving ---

    def replay(self) -> None:
        """Wait as long as the call took, and raise its exception."""
        __tracebackhide__ = True
        found = [response for response in self.responses if response is not None]
        if self._recording.speed and found:
            time.sleep(_seconds(found) / self._recording.speed)
        for response in found:
            raise_recorded_error(response)

    async def areplay(self) -> None:
        """The async form of ``replay``."""
        __tracebackhide__ = True
        found = [response for response in self.responses if response is not None]
        for response in found:
            if response.given_up:
                await wait_to_be_cancelled(self._recording, response)
        if self._recording.speed and found:
            await asyncio.sleep(_seconds(found) / self._recording.speed)
        elif found:
            await wait_for_turn(_seconds(found))
        for response in found:
            raise_recorded_error(response)

    # --- recording ---

    @contextlib.contextmanager
    def record(self) -> Iterator[tuple[Any, list[CallCapture]]]:
        """The live object, under its lock if it has one, and one capture for each missing input."""
        lock = self._proxy.lock_of(self._source)
        with contextlib.ExitStack() as stack:
            if lock is not None:
                stack.enter_context(lock.hold())
            captures = self._captures()
            stack.enter_context(shared_error(captures))
            yield stack.enter_context(live_object(live_view(self._source))), captures

    @contextlib.asynccontextmanager
    async def arecord(self) -> AsyncIterator[tuple[Any, list[CallCapture]]]:
        """The async form of ``record``. A call that is cancelled while it waits for the object is recorded, too."""
        lock = self._proxy.lock_of(self._source)
        async with contextlib.AsyncExitStack() as stack:
            if lock is not None:
                with shared_error(self._captures(), first=True):
                    await stack.enter_async_context(lock.ahold())
            captures = self._captures()
            stack.enter_context(shared_error(captures))
            yield stack.enter_context(live_object(live_view(self._source))), captures

    def _captures(self) -> list[CallCapture]:
        missing = [self._requests[number] for number in self.missing]
        first = CallCapture(self._recording, missing[0], functools.cache(self._known_secrets))
        return [first, *map(first.for_prompt, missing[1:])]

    def _known_secrets(self, error: BaseException | None) -> tuple[str, ...]:
        """The keys and passwords that the live call used, for all inputs."""
        found = {*self._secrets, *secrets_in(live_view(self._source), self._options)}
        if error is not None:
            found.update(secrets_in_error(error))
        return tuple(sorted(found, key=len, reverse=True))


def _seconds(responses: Sequence[RecordedResponse]) -> float:
    """The time of a call. The texts of a batch were embedded together."""
    return max(sum(response.delays(0)) for response in responses)
