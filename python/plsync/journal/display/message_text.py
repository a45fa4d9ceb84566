"""The text of messages, answers and prompts: with marks for a reader, or raw for a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from plsync._common.large_json import dumps
from plsync.journal.display import media
from plsync.journal.events import facts

if TYPE_CHECKING:
    from plsync.journal.record import Record

__all__ = [
    "LEFT_OUT",
    "content",
    "content_gone",
    "is_left_out",
    "preview",
    "raw",
    "request_text",
    "response_text",
    "sender",
]

LEFT_OUT: Final = "(left out: content=False)"

# The message's list of tool calls is shown instead of these blocks.
_CALLS: Final = frozenset({"tool_call", "tool_use", "function_call", "server_tool_use", "tool_call_chunk"})
_TEXTS: Final = ("text", "reasoning", "thinking", "refusal")


def sender(message: dict[str, Any]) -> str:
    """Who sent a message: ``human``, ``tool add answers call_1``. A streamed answer is of ``ai``, too."""
    kind = str(message.get("type", "input"))
    if kind.endswith("MessageChunk"):
        kind = kind.removesuffix("MessageChunk").lower()
    if kind == "chat":
        kind = str(message.get("role") or kind)
    shown = " ".join(str(part) for part in (kind, message.get("name")) if part)
    return f"{shown} answers {message['tool_call_id']}" if message.get("tool_call_id") else shown


def content(value: Any) -> str:
    """The content of a message as text, one line per block; media by their type and size: ``[image/png, 68 B]``."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n".join(filter(None, map(_block, value)))
    return "" if value is None else str(value)


def _block(block: Any) -> str:
    if not isinstance(block, dict):
        return str(block)
    for key in _TEXTS:
        if isinstance(block.get(key), str):
            return str(block[key]) if key == "text" else f"({key}) {block[key]}"
    return "" if block.get("type") in _CALLS else media.described(block)


def preview(record: Record) -> str:
    """The last message or prompt that is not empty. Of a run that is not a call, its input."""
    for item in reversed(_step_input(record) if record.is_run else record.input):
        text = content(item.get("content", item) if isinstance(item, dict) else item)
        if text.strip():
            return text
    return content_gone(record)


def _step_input(record: Record) -> list[Any]:
    given = facts.step_input(*record.plain_events())
    if isinstance(given, dict):
        given = given["messages"] if isinstance(given.get("messages"), list) else dumps(given).decode()
    return given if isinstance(given, list) else [given]


def content_gone(record: Record) -> str:
    """The cause by which a record has no content, in brackets; empty without one."""
    if record.forgotten:
        return "(forgotten: `plsync forget` removed the content)"
    if record.pruned:
        return "(pruned: the quota removed the content)"
    return LEFT_OUT if is_left_out(record) else ""


def is_left_out(record: Record) -> bool:
    """Whether ``content=False`` kept the content out of the record."""
    start, _ = record.events()
    # It also leaves out the options and the name. A redact hook has no reason to remove them.
    return record.redacted and not record.input and start.get("options") is None and start.get("name") is None


def raw(value: Any) -> str:
    """The text of a content alone, without marks, reasoning and media."""
    if isinstance(value, list):
        texts = (block.get("text") if isinstance(block, dict) else block for block in value)
        return "".join(text for text in texts if isinstance(text, str))
    return value if isinstance(value, str) else ""


def response_text(record: Record) -> str:
    """The text of the answer: of its first candidate."""
    if not record.output:
        return ""
    first = record.output[0]
    return raw((first["message"] or {}).get("content")) or first["text"]


def request_text(record: Record) -> str:
    """The texts of the prompts or messages, with an empty line between two."""
    texts = (raw(item.get("content") if isinstance(item, dict) else item) for item in record.input)
    return "\n\n".join(filter(None, texts))
