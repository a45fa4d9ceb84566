"""A call being recorded: everything is written down at the moment it is seen, since programs change what they get."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Sequence
from typing import Any

import orjson

from plsync.errors import PlsyncError, PlsyncWarning
from plsync.journal.events.tagged import encode
from plsync.replay.recording import Recording
from plsync.replay.request.request import Request
from plsync.replay.response.exceptions import describe_error
from plsync.replay.response.packing import pack
from plsync.replay.response.response import fold
from plsync.replay.response.restore import approximate
from plsync.replay.response.stream_events import run_message_id
from plsync.replay.storage.blobs import Unwritten

__all__ = ["Take"]


class Take:
    """What one call of a model gives, on its way into a recording. The first of the last four methods ends it."""

    def __init__(
        self, recording: Recording, request: Request, secrets: tuple[str, ...], classes: Sequence[type] = ()
    ) -> None:
        """The call begins now; ``classes`` are those that objects of the answer may be of."""
        self._classes = classes
        self._recording = recording
        self._request = request
        self._secrets = secrets
        self._blobs = Unwritten()
        self._chunks: list[bytes] = []
        self._events: list[bytes] = []
        self._tokens: list[tuple[str, bytes | None]] = []
        self._listens = False
        self._is_whole = False
        self._is_kept = False
        self._ids: list[str | None] = []
        self._run_id: str | None = None
        self._ms: list[int] = []
        self._began = self._seen = time.monotonic_ns()

    def beside(self, request: Request) -> Take:
        """The take of another prompt that was asked in the same call."""
        other = Take(self._recording, request, self._secrets, self._classes)
        other._began, other._seen = self._began, self._seen
        return other

    # --- while it runs ---

    def resumes(self) -> None:
        """The model is asked for its next chunk: what the program did in between is not the model's time."""
        self._seen = time.monotonic_ns()

    def part(self, part: Any) -> None:
        """The next chunk has come, or the next event of a model that streams events."""
        self._time()
        (self._events if isinstance(part, dict) else self._chunks).append(encode(part)[0])
        message = getattr(part, "message", None)
        self._is_whole = getattr(message, "chunk_position", None) == "last"
        if isinstance(part, dict) and part.get("event") == "message-finish":
            self.streamed()  # LangChain asks for nothing after that

    def handed_over(self, part: Any) -> None:
        """The program has had a chunk, and LangChain has given it an id if it had none."""
        self._ids.append(getattr(getattr(part, "message", None), "id", None))

    def listening(self, manager: Any) -> Any:
        """A callback manager as given, whose tokens are written down on their way."""
        if manager is None:
            return None
        self._listens = True
        self._run_id = run_message_id(manager)
        heard = copy.copy(manager)

        def on_llm_new_token(token: Any, *args: Any, **kwargs: Any) -> Any:
            self._token(token, kwargs.get("chunk"))
            return manager.on_llm_new_token(token, *args, **kwargs)

        heard.on_llm_new_token = on_llm_new_token
        if hasattr(manager, "get_sync"):
            heard.get_sync = lambda: self.listening(manager.get_sync())
        return heard

    def _token(self, token: Any, chunk: Any) -> None:
        if not self._chunks:
            self._time()
        self._tokens.append((str(token), None if chunk is None else encode(chunk)[0]))

    def _time(self) -> None:
        now = time.monotonic_ns()
        self._ms.append(_ms(now - self._seen))
        self._seen = now

    # --- how it ends ---

    def returned(self, generations: Sequence[Any], llm_output: Any) -> None:
        """With a whole answer."""
        answer = {"generations": _parsed(list(generations))}
        if llm_output is not None:
            answer["llm_output"] = _parsed(llm_output)
        self._keep(answer | self._heard())

    def streamed(self) -> None:
        """With the end of a stream."""
        self._keep(self._received())

    def stopped(self) -> None:
        """The program reads no further. Where it has read nothing, there is nothing to serve."""
        if self._chunks or self._events:
            self._keep(self._received() | ({} if self._is_whole else {"stopped": True}))

    def raised(self, error: Exception) -> None:
        """With an exception. One of plsync's own is not the model's, and is not recorded."""
        if not isinstance(error, PlsyncError):
            heard = {} if self._chunks else self._heard()
            self._keep((self._received() if self._chunks else heard) | {"error": describe_error(error)})

    def _keep(self, answer: dict[str, Any]) -> None:
        if self._is_kept:
            return
        self._is_kept = True
        if (kind := approximate(answer, self._classes)) is not None:
            message = f"an answer holds what comes back only approximately: {kind}; everything else of it is kept"
            warnings.warn(message, PlsyncWarning, stacklevel=2)
        ended = time.monotonic_ns()
        self._ms.append(_ms(ended - self._seen))
        self._recording.add(
            self._request, answer, self._ms, (self._began, ended), secrets=self._secrets, blobs=self._blobs
        )

    def _received(self) -> dict[str, Any]:
        if self._events:
            return {"events": [orjson.loads(event) for event in self._events]}
        ids = [*self._ids, *(None for _ in self._chunks)]
        chunks = [_with_id(orjson.loads(chunk), given) for chunk, given in zip(self._chunks, ids, strict=False)]
        told = {"told": False} if self._listens and chunks and not self._tokens else {}
        # Where LangChain's run is known, the id it gives the message of a stream of events.
        run = {"id": self._run_id} if self._run_id is not None and self._is_chat else {}
        return {"chunks": fold([pack(chunk, self._blobs.keep) for chunk in chunks]), **run, **told}

    @property
    def _is_chat(self) -> bool:
        return self._request.kind == "chat"

    def _heard(self) -> dict[str, Any]:
        """The tokens of a plain call."""
        if not self._tokens:
            return {}
        if all(chunk is not None for _, chunk in self._tokens):
            chunks = [orjson.loads(chunk) for _, chunk in self._tokens if chunk is not None]
            return {"token_chunks": fold([pack(chunk, self._blobs.keep) for chunk in chunks])}
        return {"tokens": [token for token, _ in self._tokens]}


def _parsed(value: Any) -> Any:
    return orjson.loads(encode(value)[0])


def _ms(ns: int) -> int:
    return (ns + 500_000) // 1_000_000


def _with_id(chunk: Any, message_id: str | None) -> Any:
    """A chunk with the id LangChain gave it afterwards."""
    message = chunk.get("v", {}).get("message") if isinstance(chunk, dict) else None
    if message_id is not None and isinstance(message, dict) and message.get("v", {}).get("id", "") is None:
        message["v"]["id"] = message_id
    return chunk
