"""The recorded response of a model, restored as LangChain's objects.

A response was recorded in the form in which the program requested it: whole, or as a stream of chunks. It is served in
either form. LangChain's own function adds up the chunks. A whole response is streamed as one chunk: the original chunk
boundaries are unknown.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from types import NoneType
from typing import Any, Concatenate, Final, ParamSpec, TypeVar, cast

from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessageChunk, BaseMessage, BaseMessageChunk, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, Generation, GenerationChunk

from plsync._terminal import visible
from plsync.errors import PlsyncError, RecordingFormatError
from plsync.replay.response.exceptions import rebuild_error
from plsync.replay.response.folding import unfold
from plsync.replay.response.restore import RefusedText, Restorer, UnknownTag
from plsync.replay.response.stream_events import message_from_events

__all__ = ["RecordedResponse"]

_P = ParamSpec("_P")
_T = TypeVar("_T")
_G = TypeVar("_G", bound=Generation)

_LONGEST_WAIT: Final = 24 * 3600 * 1000
"""The longest time that a recorded model may have taken for a part, in milliseconds."""


def _restoring(
    method: Callable[Concatenate[RecordedResponse, _P], _T],
) -> Callable[Concatenate[RecordedResponse, _P], _T]:
    """The method, in which any failure means that the line of the recording is malformed."""

    @functools.wraps(method)
    def restore(response: RecordedResponse, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return method(response, *args, **kwargs)
        except (PlsyncError, MemoryError):
            raise
        except RefusedText as refused:
            raise refused.error from None
        except UnknownTag as unknown:
            raise RecordingFormatError(_unknown_tag(response.place, unknown.tag)) from unknown
        except Exception as error:
            reason = visible(f"{type(error).__name__}: {error}"[:200])
            raise RecordingFormatError(
                f"{response.place} holds a response that cannot be restored ({reason}); nothing was changed: repair "
                "the line, or record the call again"
            ) from error

    return cast("Callable[Concatenate[RecordedResponse, _P], _T]", restore)


def _unknown_tag(place: str, tag: str) -> str:
    from importlib.metadata import version  # noqa: PLC0415 - only a recording of another version needs it

    installed = " and ".join(f"{name} {version(name)}" for name in ("plsync", "langchain-core"))
    return (
        f"{place} holds a value of the kind {visible(tag)[:200]!r}, which {installed} do not know; nothing was "
        "changed: install newer versions, or record the call again"
    )


class RecordedResponse:
    """One recorded response. Each call of a method makes new objects, since a program may change them."""

    def __init__(
        self,
        data: dict[str, Any],
        *,
        ms: Sequence[int] = (),
        load_blob: Callable[[str], bytes],
        new_ids: bool = False,
        place: str = "",
    ) -> None:
        """Wraps a response.

        Args:
            data: the value of ``answer`` in a recording (``docs/reference/recordings.md``).
            ms: the model's time before each chunk and after the last one, in milliseconds.
            load_blob: returns the large binary of a name.
            new_ids: leave out message ids, so that LangChain assigns new ones. LangGraph would take a message that is
                served twice with one id for a single message.
            place: the recording and the line of the call, for messages.
        """
        self.place = place
        self._data = data
        self._ms = ms
        self._restore = Restorer(load_blob)
        self._new_ids = new_ids

    def allow_classes(self, classes: Sequence[type]) -> None:
        """Allow the classes that the call requested: the response may hold objects of them."""
        self._restore.call_classes = classes

    @property
    def stopped(self) -> bool:
        """Whether the recorded program stopped reading before the end, so that the rest is unknown."""
        return bool(self._data.get("stopped"))

    @property
    def given_up(self) -> bool:
        """Whether the recorded program cancelled the call before it ended."""
        return bool(self._data.get("given_up"))

    @property
    def reports_chunks(self) -> bool:
        """Whether the model itself reported each chunk to the callbacks."""
        return self._data.get("told") is not False

    @property
    @_restoring
    def message_id(self) -> str | None:
        """The id that LangChain assigned, or would have assigned, to the message of a stream of events."""
        if self._new_ids:
            return None
        if isinstance(self._data.get("id"), str):
            return str(self._data["id"])
        ids = (chunk.message.id for chunk in self.chat_chunks())
        return next((found for found in ids if isinstance(found, str) and found.startswith("lc_run-")), None)

    @property
    @_restoring
    def events(self) -> list[Any] | None:
        """The events of a model that itself implements ``stream_events(version="v3")``; ``None`` for other models."""
        found = self._data.get("events")
        return None if found is None else self._restore(found)

    @_restoring
    def error(self) -> Exception | None:
        """The exception that ended the call; ``None`` for a call that succeeded."""
        described = self._data.get("error")
        return None if described is None else rebuild_error(described, self._restore)

    @_restoring
    def delays(self, parts: int) -> Iterator[float]:
        """Seconds before each of ``parts`` parts, and before the end."""
        for ms in self._ms:
            if not math.isfinite(ms) or not 0 <= ms <= _LONGEST_WAIT:
                raise ValueError(f"a part that took {ms} ms")
        *before, end = self._ms or (0,)
        if not before:  # a whole response arrived at the end
            before, end = [end], 0
        if len(before) > parts:
            before, end = [], sum(self._ms)
        return iter([*(ms / 1000 for ms in before), *([0.0] * (parts - len(before))), end / 1000])

    @_restoring
    def tokens(self) -> list[tuple[str, Any]]:
        """The tokens that callbacks received during a plain call: texts, each with its chunk or ``None``."""
        if "token_chunks" not in self._data and "tokens" not in self._data:
            return []
        if (texts := self._data.get("tokens")) is not None:
            return [(text, None) for text in texts]
        return [(chunk.text, chunk) for chunk in self._chunks("token_chunks")]

    # --- embeddings, and other calls without messages ---

    @_restoring
    def vector(self) -> Any:
        """The vector of a text."""
        return self._restore(self._data["vector"])

    @property
    def container(self) -> str | None:
        """The container of the vectors of the recorded call; ``None`` for a list."""
        found = self._data.get("in")
        return found if isinstance(found, str) else None

    @_restoring
    def value(self) -> Any:
        """The result of a call without messages: a count, documents, or the result of a tool."""
        return self._restore(self._data["value"])

    # --- chat models ---

    @_restoring
    def chat_result(self) -> ChatResult:
        """The whole response of a chat model."""
        if (events := self.events) is not None:
            return ChatResult(generations=[ChatGeneration(message=message_from_events(events))])
        if "generations" not in self._data:
            return generate_from_stream(iter(_with_last_chunk(self.chat_chunks(with_last=True))))
        generations: list[Any] = _all_of(ChatGeneration, self._restore(self._data["generations"]))
        for generation in generations:
            if self._new_ids:
                generation.message.id = None
        messages = [
            ChatGeneration(
                message=message_chunk_to_message(generation.message), generation_info=generation.generation_info
            )
            if generation.type == "ChatGenerationChunk"
            else generation
            for generation in generations
        ]
        fields = {"generations": messages, "llm_output": self._restore(self._data.get("llm_output"))}
        result: ChatResult = self._restore.with_fields("ChatResult", fields, {})
        return result

    @_restoring
    def chat_chunks(self, *, with_last: bool = False) -> list[ChatGenerationChunk]:
        """The chunks of a chat model's response.

        Args:
            with_last: add the empty last chunk that LangChain adds to a stream without one. LangChain assigns it the
                id of the run. That id was recorded only if the other chunks have it too.
        """
        if "generations" in self._data or "events" in self._data:
            return self._single_chunk()
        chunks = _all_of(ChatGenerationChunk, self._chunks("chunks"))
        for chunk in chunks:
            if self._new_ids:
                chunk.message.id = None
            elif with_last and chunk.message.id is None:
                chunk.message.id = self._data.get("id")
        if not with_last or self._new_ids or self.stopped or "error" in self._data:
            return chunks
        has_run_id = all(str(chunk.message.id).startswith("lc_run-") for chunk in chunks)
        return _with_last_chunk(chunks) if has_run_id else chunks

    def _single_chunk(self) -> list[ChatGenerationChunk]:
        result = self.chat_result()
        if not result.generations:
            return []
        generation = result.generations[0]
        message = _as_chunk(generation.message)
        if len(result.generations) == 1 and result.llm_output:
            message.response_metadata = {**result.llm_output, **message.response_metadata}
        return [ChatGenerationChunk(message=message, generation_info=generation.generation_info)]

    # --- text models ---

    @_restoring
    def generations(self) -> list[Generation]:
        """The candidates of a text model."""
        if "generations" in self._data:
            return [
                Generation(text=generation.text, generation_info=generation.generation_info)
                if type(generation).__name__ == "GenerationChunk"
                else generation
                for generation in _all_of(Generation, self._restore(self._data["generations"]))
            ]
        chunks = self.text_chunks()
        if not chunks:
            return []
        total = chunks[0]
        for chunk in chunks[1:]:
            total += chunk
        return [Generation(text=total.text, generation_info=total.generation_info)]

    @_restoring
    def llm_output(self) -> dict[str, Any] | None:
        """The provider's metadata about the call of a text model."""
        found: dict[str, Any] | None = self._restore(self._data.get("llm_output"))
        return found

    @_restoring
    def text_chunks(self) -> list[GenerationChunk]:
        """The chunks of a text model's response."""
        if "generations" not in self._data:
            return _all_of(GenerationChunk, self._chunks("chunks"))
        return [
            GenerationChunk(text=generation.text, generation_info=generation.generation_info)
            for generation in self.generations()[:1]
        ]

    def _chunks(self, key: str) -> list[Any]:
        found: list[Any] = self._restore(unfold(self._data.get(key) or []))
        return found


def _all_of(kind: type[_G], generations: Any) -> list[_G]:
    """The generations, if each is of this class and has a text, or a message with content."""
    if not isinstance(generations, list):
        raise TypeError("no list of generations")
    for generation in generations:
        if not isinstance(generation, kind):
            raise TypeError(f"{type(generation).__name__} in place of {kind.__name__}")
        if isinstance(generation, ChatGeneration):
            message_kind = BaseMessageChunk if isinstance(generation, ChatGenerationChunk) else BaseMessage
            if not _is_message(generation.message, message_kind):
                raise TypeError("a generation without a message")
        elif not isinstance(generation.text, str):
            raise TypeError("a generation without a text")
    return generations


def _is_message(message: Any, kind: type[BaseMessage]) -> bool:
    if not isinstance(message, kind) or not isinstance(message.id, (str, NoneType)):
        return False
    content: Any = message.content
    return isinstance(content, str) or (
        isinstance(content, list) and all(isinstance(block, (str, dict)) for block in content)
    )


def _as_chunk(message: Any) -> AIMessageChunk:
    """A message as the only chunk of its stream."""
    if isinstance(message, AIMessageChunk):
        return message
    fields = {name: value for name, value in message.__dict__.items() if name in AIMessageChunk.model_fields}
    return AIMessageChunk(**{**fields, "type": "AIMessageChunk", "chunk_position": "last"})


def _with_last_chunk(chunks: list[ChatGenerationChunk]) -> list[ChatGenerationChunk]:
    """The chunks of a stream that ends with a chunk marked as its last."""
    last = chunks[-1].message if chunks else None
    if not isinstance(last, AIMessageChunk) or last.chunk_position:
        return chunks
    content: Any = "" if isinstance(last.content, str) else []
    end = AIMessageChunk(content=content, chunk_position="last", id=last.id)
    return [*chunks, ChatGenerationChunk(message=end)]
