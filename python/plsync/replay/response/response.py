"""What came back from a model, as a recording holds it, and made into LangChain's objects again.

An answer was recorded as it was asked for: whole, or as a stream of chunks. It is served either way: chunks are summed
as LangChain sums them, a whole answer is streamed as one chunk, since where a model would have cut it nobody knows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import orjson
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessageChunk, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult, Generation, GenerationChunk

from plsync.journal.events.tagged import TAG
from plsync.replay.response.exceptions import rebuild_error
from plsync.replay.response.restore import Restorer
from plsync.replay.response.stream_events import message_of

__all__ = ["Answer", "fold", "unfold"]

# Where the text of a chunk is, by its class.
_TEXT_AT: Final = {"ChatGenerationChunk": ("message", "v", "content"), "GenerationChunk": ("text",)}


class Answer:
    """One recorded answer. Every call of a method makes new objects: programs change what they are given."""

    def __init__(
        self,
        data: dict[str, Any],
        *,
        ms: Sequence[int] = (),
        load: Callable[[str], bytes],
        fresh: bool = False,
    ) -> None:
        """Wraps an answer.

        Args:
            data: ``generations`` and ``llm_output``, or ``chunks``; ``tokens``, ``error``, ``stopped``.
            ms: how long the model took, before each chunk and after the last, in ms.
            load: a large binary, by its name.
            fresh: leave out message ids, so that LangChain gives new ones: a message served twice must not be taken
                for one and the same.
        """
        self._data = data
        self._ms = ms
        self._restored = Restorer(load)
        self._fresh = fresh

    def may_hold(self, classes: Sequence[type]) -> None:
        """Tell it of classes the call was made with, whose objects an answer may have."""
        self._restored.known = classes

    @property
    def stopped(self) -> bool:
        """Whether the program stopped reading before the end: what would have followed is unknown."""
        return bool(self._data.get("stopped"))

    @property
    def told(self) -> bool:
        """Whether the model itself reported each chunk to the callbacks, if it was given a way to."""
        return self._data.get("told") is not False

    @property
    def message_id(self) -> str | None:
        """The id LangChain gave, or would have given, the message of a stream of events."""
        if self._fresh:
            return None
        if isinstance(self._data.get("id"), str):
            return str(self._data["id"])
        given = (chunk.message.id for chunk in self.chat_chunks())
        return next((one for one in given if isinstance(one, str) and one.startswith("lc_run-")), None)

    @property
    def events(self) -> list[Any] | None:
        """The events of a model that streams those of ``stream_events(version="v3")`` itself."""
        found = self._data.get("events")
        return None if found is None else self._restored(found)

    def error(self) -> Exception | None:
        """The exception it ended with."""
        described = self._data.get("error")
        return None if described is None else rebuild_error(described, self._restored)

    def waits(self, parts: int) -> Iterator[float]:
        """Seconds before each of so many parts, and before the end."""
        *before, end = self._ms or (0,)
        if not before:  # a whole answer: it came at the end
            before, end = [end], 0
        if len(before) > parts:
            before, end = [], sum(self._ms)
        yield from (ms / 1000 for ms in before)
        yield from (0.0 for _ in range(parts - len(before)))
        yield end / 1000

    def tokens(self) -> list[tuple[str, Any]]:
        """What was reported to callbacks during a plain call: texts, each with its chunk or ``None``."""
        if "token_chunks" not in self._data and "tokens" not in self._data:
            return []
        if (texts := self._data.get("tokens")) is not None:
            return [(text, None) for text in texts]
        return [(chunk.text, chunk) for chunk in self._chunks("token_chunks")]

    # --- chat models ---

    def chat_result(self) -> ChatResult:
        """The whole answer of a chat model."""

        if (events := self.events) is not None:
            return ChatResult(generations=[ChatGeneration(message=message_of(events))])
        if "generations" not in self._data:
            return generate_from_stream(iter(_ended(self.chat_chunks(ended=True))))
        generations = self._restored(self._data["generations"])
        for generation in generations:
            if self._fresh:
                generation.message.id = None
        whole = [
            ChatGeneration(message=message_chunk_to_message(one.message), generation_info=one.generation_info)
            if one.type == "ChatGenerationChunk"
            else one
            for one in generations
        ]
        fields = {"generations": whole, "llm_output": self._restored(self._data.get("llm_output"))}
        result: ChatResult = self._restored.with_fields("ChatResult", fields, {})
        return result

    def chat_chunks(self, *, ended: bool = False) -> list[ChatGenerationChunk]:
        """The chunks of a chat model's answer.

        Args:
            ended: with the empty last chunk LangChain puts at the end of a stream that has none. It gives that the id
                of its run, and only where it gave the others the same is that the recorded one.
        """
        if "generations" in self._data or "events" in self._data:
            return self._one_chunk()
        chunks: list[ChatGenerationChunk] = self._chunks("chunks")
        for chunk in chunks:
            if self._fresh:
                chunk.message.id = None
            elif ended and chunk.message.id is None:
                chunk.message.id = self._data.get("id")
        if not ended or self._fresh or self.stopped or "error" in self._data:
            return chunks
        own = all(str(chunk.message.id).startswith("lc_run-") for chunk in chunks)
        return _ended(chunks) if own else chunks

    def _one_chunk(self) -> list[ChatGenerationChunk]:

        result = self.chat_result()
        if not result.generations:
            return []
        generation = result.generations[0]
        message = _as_chunk(generation.message)
        if len(result.generations) == 1 and result.llm_output:
            message.response_metadata = {**result.llm_output, **message.response_metadata}
        return [ChatGenerationChunk(message=message, generation_info=generation.generation_info)]

    # --- text models ---

    def generations(self) -> list[Generation]:
        """The candidates of a text model."""

        if "generations" in self._data:
            return [
                Generation(text=one.text, generation_info=one.generation_info)
                if type(one).__name__ == "GenerationChunk"
                else one
                for one in self._restored(self._data["generations"])
            ]
        chunks = self.text_chunks()
        if not chunks:
            return []
        whole = chunks[0]
        for chunk in chunks[1:]:
            whole += chunk
        return [Generation(text=whole.text, generation_info=whole.generation_info)]

    def llm_output(self) -> dict[str, Any] | None:
        """What a text model's provider said about the call."""
        found: dict[str, Any] | None = self._restored(self._data.get("llm_output"))
        return found

    def text_chunks(self) -> list[GenerationChunk]:
        """The chunks of a text model's answer."""

        if "generations" not in self._data:
            return self._chunks("chunks")
        return [GenerationChunk(text=one.text, generation_info=one.generation_info) for one in self.generations()[:1]]

    def _chunks(self, key: str) -> list[Any]:
        found: list[Any] = self._restored(unfold(self._data.get(key) or []))
        return found


def fold(chunks: Sequence[Any]) -> list[Any]:
    """Packed chunks, shortened: a text stands for a chunk that is like the one before it but for its text."""
    folded: list[Any] = []
    before: bytes | None = None
    for chunk in chunks:
        text, rest = _split(chunk)
        kept = None if rest is None else orjson.dumps(rest)
        folded.append(text if kept is not None and kept == before else chunk)
        before = kept
    return folded


def unfold(folded: Sequence[Any]) -> list[Any]:
    """The chunks that ``fold`` was given."""
    chunks: list[Any] = []
    for item in folded:
        chunks.append(_with_text(chunks[-1], item) if isinstance(item, str) and chunks else item)
    return chunks


def _split(chunk: Any) -> tuple[Any, Any]:
    """The text of a chunk, and the chunk without it; ``(None, None)`` when it has none of its own."""
    path = _TEXT_AT.get(chunk.get(TAG, "")) if isinstance(chunk, dict) else None
    text = chunk.get("v") if path else None
    for step in path or ():
        text = text.get(step) if isinstance(text, dict) else None
    return (text, _with_text(chunk, "")) if isinstance(text, str) else (None, None)


def _with_text(chunk: dict[str, Any], text: str) -> dict[str, Any]:
    fields = chunk["v"]
    if chunk[TAG] == "GenerationChunk":
        return {**chunk, "v": {**fields, "text": text}}
    message = fields["message"]
    return {**chunk, "v": {**fields, "message": {**message, "v": {**message["v"], "content": text}}}}


def _as_chunk(message: Any) -> AIMessageChunk:
    """A message as the only chunk of its stream; chunks stay what they are."""

    if isinstance(message, AIMessageChunk):
        return message
    fields = {name: value for name, value in message.__dict__.items() if name in AIMessageChunk.model_fields}
    return AIMessageChunk(**{**fields, "type": "AIMessageChunk", "chunk_position": "last"})


def _ended(chunks: list[ChatGenerationChunk]) -> list[ChatGenerationChunk]:
    """With the empty last chunk of a stream that has none."""

    last = chunks[-1].message if chunks else None
    if not isinstance(last, AIMessageChunk) or last.chunk_position:
        return chunks
    content: Any = "" if isinstance(last.content, str) else []
    end = AIMessageChunk(content=content, chunk_position="last", id=last.id)
    return [*chunks, ChatGenerationChunk(message=end)]
