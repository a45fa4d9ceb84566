"""Captures a live call for its recording. Each part is encoded when it arrives, since a program may change it later."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from plsync._common.large_json import loads
from plsync.errors import PlsyncError, PlsyncWarning
from plsync.journal.events.tagged import encode
from plsync.replay.recording import Recording
from plsync.replay.request.request import Request
from plsync.replay.response.exceptions import describe_error
from plsync.replay.response.folding import fold
from plsync.replay.response.packing import pack
from plsync.replay.response.restore import first_inexact
from plsync.replay.response.stream_events import run_message_id
from plsync.replay.storage.blobs import PendingBlobs

__all__ = ["CallCapture", "shared_error"]


class CallCapture:
    """The response of one live call on its way into a recording.

    The first ``finish_*`` method that is called writes the call. Later ones do nothing.
    """

    def __init__(
        self,
        recording: Recording,
        request: Request,
        secrets: Callable[[BaseException | None], tuple[str, ...]],
        call_classes: Sequence[type] = (),
    ) -> None:
        """Begins the capture; the time of the call starts now.

        Args:
            recording: where the call is written.
            request: the request, from ``Recording.redact_request``.
            secrets: returns the texts that the recording must not hold, from the exception of the call.
            call_classes: classes that the call requested; the response may hold objects of them.
        """
        self._call_classes = call_classes
        self._recording = recording
        self._request = request
        self._secrets = secrets
        self._blobs = PendingBlobs()
        self._chunks: list[bytes] = []
        self._events: list[bytes] = []
        self._tokens: list[tuple[str, bytes | None]] = []
        self._watches_tokens = False
        self._has_last_chunk = False
        self._is_finished = False
        self._final_ids: list[str | None] = []
        self._run_message_id: str | None = None
        self._ms: list[int] = []
        self._start = self._lap_start = time.monotonic_ns()

    def for_prompt(self, request: Request) -> CallCapture:
        """The capture of another prompt in the same call."""
        other = CallCapture(self._recording, request, self._secrets, self._call_classes)
        other._start, other._lap_start = self._start, self._lap_start
        return other

    # --- while the model runs ---

    def restart_clock(self) -> None:
        """Start timing the next part now: the time in which the program used the last part is not the model's."""
        self._lap_start = time.monotonic_ns()

    def add_part(self, part: Any) -> None:
        """Add a chunk, or an event of a model that streams events."""
        self._end_lap()
        (self._events if isinstance(part, dict) else self._chunks).append(encode(part)[0])
        message = getattr(part, "message", None)
        self._has_last_chunk = getattr(message, "chunk_position", None) == "last"
        if isinstance(part, dict) and part.get("event") == "message-finish":
            self.finish_stream()  # LangChain does not read the stream any further

    def set_final_id(self, part: Any) -> None:
        """Note the id of the last chunk: LangChain assigned one after the chunk left the model."""
        self._final_ids.append(getattr(getattr(part, "message", None), "id", None))

    def watch_tokens(self, manager: Any) -> Any:
        """A copy of a callback manager that also captures tokens; ``None`` without a manager."""
        if manager is None:
            return None
        self._watches_tokens = True
        self._run_message_id = run_message_id(manager)
        watched = copy.copy(manager)

        def on_llm_new_token(token: Any, *args: Any, **kwargs: Any) -> Any:
            self._add_token(token, kwargs.get("chunk"))
            return manager.on_llm_new_token(token, *args, **kwargs)

        watched.on_llm_new_token = on_llm_new_token
        if hasattr(manager, "get_sync"):
            watched.get_sync = lambda: self.watch_tokens(manager.get_sync())
        return watched

    def _add_token(self, token: Any, chunk: Any) -> None:
        if not self._chunks:
            self._end_lap()
        self._tokens.append((str(token), None if chunk is None else encode(chunk)[0]))

    def _end_lap(self) -> None:
        now = time.monotonic_ns()
        self._ms.append(_milliseconds(now - self._lap_start))
        self._lap_start = now

    # --- the end of the call ---

    def finish_whole(self, generations: Sequence[Any], llm_output: Any) -> None:
        """The model returned a whole response."""
        response = {"generations": _to_json(list(generations))}
        if llm_output is not None:
            response["llm_output"] = _to_json(llm_output)
        self._write(response | self._reported_tokens())

    def finish_vector(self, vector: Any, container: str | None = None) -> None:
        """Embeddings returned a vector.

        Args:
            vector: the result of ``pack_vector``.
            container: the result of ``container_of`` for the vectors of the call.
        """
        self._write({"vector": vector} | ({"in": container} if container else {}))

    def finish_value(self, value: Any) -> None:
        """A call without messages returned a value: a count, documents, or the result of a tool."""
        self._write({"value": _to_json(value)})

    def finish_stream(self) -> None:
        """The stream reached its end."""
        self._write(self._received_parts())

    def finish_early(self) -> None:
        """The program stopped reading the stream. Without any part there is nothing to serve."""
        if self._chunks or self._events:
            self._write(self._received_parts() | ({} if self._has_last_chunk else {"stopped": True}))

    def finish_given_up(self) -> None:
        """The program cancelled the call. An older plsync serves the line as a stream that was not read to its end."""
        received = self._received_parts() if self._chunks or self._events else self._reported_tokens()
        self._write(received | {"stopped": True, "given_up": True})

    def finish_with_error(self, error: Exception) -> None:
        """The model raised an exception. An exception of plsync does not come from the model and is not recorded."""
        if not isinstance(error, PlsyncError):
            received = self._received_parts() if self._chunks else self._reported_tokens()
            self._write(received | {"error": describe_error(error)}, error)

    def _write(self, response: dict[str, Any], error: Exception | None = None) -> None:
        if self._is_finished:
            return
        self._is_finished = True
        if (inexact := first_inexact(response, self._call_classes)) is not None:
            message = (
                f"replay will restore an object of this response only approximately: {inexact}; "
                "everything else in the response is recorded exactly"
            )
            warnings.warn(message, PlsyncWarning, stacklevel=2)
        end = time.monotonic_ns()
        self._ms.append(_milliseconds(end - self._lap_start))
        secrets = self._secrets(error)
        self._recording.add(self._request, response, self._ms, (self._start, end), secrets=secrets, blobs=self._blobs)

    def _received_parts(self) -> dict[str, Any]:
        """The parts of a stream in the form of a recording."""
        if self._events:
            return {"events": [loads(event) for event in self._events]}
        ids = [*self._final_ids, *(None for _ in self._chunks)]
        chunks = [_with_id(loads(chunk), final) for chunk, final in zip(self._chunks, ids, strict=False)]
        silent = {"told": False} if self._watches_tokens and chunks and not self._tokens else {}
        # The id that LangChain assigns to the message of a stream of events, if the run is known.
        is_chat = self._request.kind == "chat"
        run_id = {"id": self._run_message_id} if self._run_message_id is not None and is_chat else {}
        return {"chunks": fold([pack(chunk, self._blobs.add) for chunk in chunks]), **run_id, **silent}

    def _reported_tokens(self) -> dict[str, Any]:
        """The tokens that callbacks received during a plain call."""
        if not self._tokens:
            return {}
        if all(chunk is not None for _, chunk in self._tokens):
            chunks = [loads(chunk) for _, chunk in self._tokens if chunk is not None]
            return {"token_chunks": fold([pack(chunk, self._blobs.add) for chunk in chunks])}
        return {"tokens": [token for token, _ in self._tokens]}


@contextlib.contextmanager
def shared_error(captures: Sequence[CallCapture], *, first: bool = False) -> Iterator[None]:
    """Capture an exception for every input of a call, since any of the inputs may have caused it.

    Args:
        captures: the captures of the inputs.
        first: also for the first input. The functions of ``live`` capture it otherwise.
    """
    others = captures if first else captures[1:]
    try:
        yield
    except asyncio.CancelledError:
        for capture in others:
            capture.finish_given_up()
        raise
    except Exception as error:
        for capture in others:
            capture.finish_with_error(error)
        raise


def _to_json(value: Any) -> Any:
    return loads(encode(value)[0])


def _milliseconds(ns: int) -> int:
    return (ns + 500_000) // 1_000_000


def _with_id(chunk: Any, message_id: str | None) -> Any:
    """A chunk with the id that LangChain assigned to its message."""
    message = chunk.get("v", {}).get("message") if isinstance(chunk, dict) else None
    if message_id is not None and isinstance(message, dict) and message.get("v", {}).get("id", "") is None:
        message["v"]["id"] = message_id
    return chunk
