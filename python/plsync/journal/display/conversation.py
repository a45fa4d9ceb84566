"""The messages of a call in parts: text, reasoning, media, tool calls with their answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from plsync.journal.display.media import Media, media_in
from plsync.journal.events.facts import tool_calls_at
from plsync.journal.events.tool_arguments import broken_arguments

if TYPE_CHECKING:
    from plsync.journal.record import Record

__all__ = ["Conversation", "Message", "Output", "Part", "ToolCall", "conversation", "finish_reason", "message_of"]

PartKind = Literal["text", "thinking", "refusal", "media", "link", "json"]

_MEDIA_TYPES: Final = frozenset(
    {"image", "image_url", "image_file", "audio", "video", "video_url", "audio_url", "file", "document", "media", "pdf"}
)
# Bedrock's blocks have one of these keys in place of a type.
_MEDIA_KEYS: Final = ("image", "document", "audio", "video")
_TEXTS: Final = (("text", "text"), ("refusal", "refusal"), ("thinking", "thinking"), ("reasoning", "thinking"))
# The message has these calls in its list of tool calls, too.
_CALL_TYPES: Final = frozenset({"tool_call", "tool_use", "function_call", "tool_call_chunk", "input_json_delta"})
_FIELDS: Final = frozenset(
    {
        "type",
        "content",
        "name",
        "id",
        "role",
        "tool_calls",
        "invalid_tool_calls",
        "tool_call_chunks",
        "tool_call_id",
        "status",
        "example",
        "usage_metadata",
        "chunk_position",
    }
)
_EMPTY: Final[tuple[Any, ...]] = (None, {}, [], "")
_FINISH_KEYS: Final = ("finish_reason", "stop_reason", "done_reason", "finishReason", "stopReason")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the content of a message."""

    kind: PartKind
    text: str = ""
    """The text, the reasoning, the refusal, or the URL of a link."""
    media: Media | None = None
    value: Any = None
    """A block of another kind, as JSON."""


@dataclass(slots=True)
class ToolCall:
    """A call of a tool that a message requests."""

    id: str | None
    name: str
    args: Any
    error: str | None = None
    """Why the call is invalid; None for a valid one."""
    answer: int | None = None
    """The index of the message that answers it."""


@dataclass(slots=True)
class Message:
    """A message in parts."""

    role: str
    name: str | None
    parts: list[Part]
    tool_calls: list[ToolCall] = field(default_factory=list)
    tool_call_id: str | None = None
    answers: tuple[int, int] | None = None
    """The message and the number of the tool call that this message answers."""
    status: str | None = None
    id: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    """Further fields of the message."""

    @property
    def length(self) -> int:
        """The number of characters of its texts."""
        return sum(len(part.text) for part in self.parts)


@dataclass(frozen=True, slots=True)
class Output:
    """A candidate of the response."""

    message: Message
    finish_reason: str | None


@dataclass(frozen=True, slots=True)
class Conversation:
    """The messages of a request, and the candidates of its response."""

    messages: list[Message]
    outputs: list[Output]

    def media(self) -> list[Media]:
        """The media in the order of the messages, then of the outputs. The index is the number of the media."""
        everything = [*self.messages, *(output.message for output in self.outputs)]
        return [part.media for message in everything for part in message.parts if part.media is not None]


def conversation(record: Record) -> Conversation:
    """The messages of a record, each tool call joined with its answer."""
    messages = [message_of(item) for item in record.input]
    outputs = []
    for generation in record.output:
        fields = generation["message"] or {"type": "ai", "content": generation["text"]}
        reason = finish_reason(fields, generation["generation_info"] or {})
        outputs.append(Output(message_of(fields), reason))
    _join(messages)
    return Conversation(messages, outputs)


def message_of(item: Any) -> Message:
    """A message from the dict of its fields. A text is a prompt."""
    if not isinstance(item, dict):
        return Message("prompt", None, [Part("text", item)] if isinstance(item, str) else [Part("json", value=item)])
    role = str(item.get("type", "input"))
    if role.endswith("MessageChunk"):
        role = role.removesuffix("MessageChunk").lower()
    if role == "chat":
        role = str(item.get("role") or role)
    kwargs = item.get("additional_kwargs")
    kwargs = kwargs if isinstance(kwargs, dict) else {}
    calls = list(_tool_calls(item, kwargs))
    known = {call.id for call in calls if call.id}
    parts = [*_reasoning(kwargs), *_parts(item.get("content"), known)]
    return Message(
        role=role,
        name=_text_or_none(item.get("name")),
        parts=parts,
        tool_calls=calls,
        tool_call_id=_text_or_none(item.get("tool_call_id")),
        status=_text_or_none(item.get("status")) if role == "tool" else None,
        id=_text_or_none(item.get("id")),
        extra=_extra(item, kwargs),
    )


def finish_reason(message: dict[str, Any], info: dict[str, Any]) -> str | None:
    """Why the model stopped, in the provider's word."""
    metadata = message.get("response_metadata")
    for place in (info, metadata if isinstance(metadata, dict) else {}):
        for key in _FINISH_KEYS:
            if isinstance(place.get(key), str) and place[key]:
                return str(place[key])
    return None


def _parts(content: Any, known_calls: set[str]) -> Iterator[Part]:
    if isinstance(content, str):
        if content:
            yield Part("text", content)
    elif isinstance(content, list):
        for block in content:
            yield from _block(block, known_calls)
    elif content is not None:
        yield Part("json", value=content)


def _block(block: Any, known_calls: set[str]) -> Iterator[Part]:
    while isinstance(block, dict) and block.get("type") == "non_standard" and isinstance(block.get("value"), dict):
        block = block["value"]
    if not isinstance(block, dict):
        yield Part("text", block) if isinstance(block, str) else Part("json", value=block)
        return
    kind = str(block.get("type", ""))
    for key, part in _TEXTS:
        if isinstance(block.get(key), str) and kind not in _MEDIA_TYPES:
            if block[key]:
                yield Part(part, block[key])  # type: ignore[arg-type]
            return
    if kind in _CALL_TYPES:
        if kind != "input_json_delta" and (block.get("id") or block.get("call_id")) not in known_calls:
            yield Part("json", value=block)
    elif summary := _summary(block):
        yield Part("thinking", summary)
    elif kind.removeprefix("input_") in _MEDIA_TYPES or any(isinstance(block.get(key), dict) for key in _MEDIA_KEYS):
        yield _media(block)
    else:
        yield Part("json", value=block)


def _media(block: dict[str, Any]) -> Part:
    source = block.get("source")
    text = block.get("text") if block.get("source_type") == "text" else None
    if isinstance(source, dict) and source.get("type") == "text":
        text = source.get("data") or source.get("text")
    if isinstance(text, str):
        return Part("text", text)
    media = media_in(block)
    if media.data:
        return Part("media", media=media)
    if media.url:
        return Part("link", media.url, value=block)
    return Part("json", value=block)


def _summary(block: dict[str, Any]) -> str:
    """The reasoning of a block of OpenAI's, whose summary is a list of texts."""
    summary = block.get("summary")
    if block.get("type") != "reasoning" or not isinstance(summary, list):
        return ""
    return "\n\n".join(str(item["text"]) for item in summary if isinstance(item, dict) and item.get("text"))


def _reasoning(kwargs: dict[str, Any]) -> Iterator[Part]:
    text = kwargs.get("reasoning_content")
    if isinstance(text, str) and text:
        yield Part("thinking", text)


def _tool_calls(message: dict[str, Any], kwargs: dict[str, Any]) -> Iterator[ToolCall]:
    for call, broken in zip(tool_calls_at(message, "tool_calls"), broken_arguments(message), strict=True):
        error = None if broken is None else "the arguments are no JSON object"
        yield _call(call, call.get("args") if broken is None else broken, error)
    for call in tool_calls_at(message, "invalid_tool_calls"):
        yield _call(call, call.get("args"), _text_or_none(call.get("error")) or "the call is invalid")
    legacy = kwargs.get("function_call")
    if isinstance(legacy, dict) and not message.get("tool_calls") and not message.get("invalid_tool_calls"):
        yield _call(legacy, legacy.get("arguments"), None)


def _call(call: dict[str, Any], args: Any, error: str | None) -> ToolCall:
    return ToolCall(_text_or_none(call.get("id")), str(call.get("name") or ""), args, error)


def _extra(message: dict[str, Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in message.items() if name not in _FIELDS and value not in _EMPTY}
    found.pop("additional_kwargs", None)
    if isinstance(metadata := found.pop("response_metadata", None), dict):
        # The page shows these facts by other means.
        found |= _nonempty("response_metadata", {k: v for k, v in metadata.items() if k not in _FINISH_KEYS})
    own = {name: value for name, value in kwargs.items() if name not in ("reasoning_content", "tool_calls")}
    return found | _nonempty("additional_kwargs", {k: v for k, v in own.items() if v not in _EMPTY})


def _nonempty(name: str, value: dict[str, Any]) -> dict[str, Any]:
    return {name: value} if value else {}


def _join(messages: list[Message]) -> None:
    """Join each tool call with the first later message that answers it."""
    requested: dict[str, tuple[int, int]] = {}
    for index, message in enumerate(messages):
        if message.tool_call_id is not None and (place := requested.pop(message.tool_call_id, None)) is not None:
            message.answers = place
            messages[place[0]].tool_calls[place[1]].answer = index
        requested.update({call.id: (index, number) for number, call in enumerate(message.tool_calls) if call.id})


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
