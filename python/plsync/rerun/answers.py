"""The parts of an answer that a comparison needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from plsync.journal.events import facts
from plsync.journal.record import Record
from plsync.replay.storage.recorded_call import RecordedCall

__all__ = ["Answer"]


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer of a model to one request.

    >>> Answer(text="4 degrees", tool_calls=[], input_tokens=12, output_tokens=3, seconds=0.8, error=None).text
    '4 degrees'
    """

    text: str
    tool_calls: list[tuple[str, Any]]
    """The name and the arguments of each call, in order."""
    input_tokens: int | None
    output_tokens: int | None
    seconds: float | None
    """The duration of the call."""
    error: str | None
    """Why the call has no answer; None for an answer."""

    @classmethod
    def of_record(cls, record: Record) -> Answer:
        """The answer in a record."""
        duration, usage, failed = record.duration_ns, record.usage or {}, record.error
        error = None
        if failed is not None:
            error = f"{failed['type']}: {failed['message']}" if failed["message"] else failed["type"]
        elif record.status != "ok":
            error = record.status
        return cls(
            record.output[0]["text"] if record.output else "",
            [(str(call.get("name")), call.get("args")) for call in record.tool_calls],
            _count(usage.get("input_tokens")),
            _count(usage.get("output_tokens")),
            None if duration is None else duration / 1e9,
            error,
        )

    @classmethod
    def of_call(cls, call: RecordedCall, end: dict[str, Any] | None) -> Answer:
        """The answer in a recording.

        Args:
            call: the recorded call.
            end: its answer as an end event (``docs/reference/events.md``); None for a call without an answer.
        """
        seconds = sum(call.data.get("ms") or ()) / 1000 or None
        if end is None:
            described = call.data["answer"].get("error")
            kind = str(described.get("class", "")).rpartition(":")[2] if isinstance(described, dict) else ""
            return cls("", [], None, None, seconds, kind or "no whole answer")
        output = facts.generations(end)
        usage = facts.usage(output, end) or {}
        return cls(
            output[0]["text"] if output else "",
            [(str(item.get("name")), item.get("args")) for item in facts.tool_calls(output)],
            _count(usage.get("input_tokens")),
            _count(usage.get("output_tokens")),
            seconds,
            None,
        )

    def structured(self) -> Any:
        """The answer as JSON: the arguments of its only tool call, else the text; None for another text."""
        if len(self.tool_calls) == 1:
            return self.tool_calls[0][1]
        try:
            found = orjson.loads(_without_fence(self.text))
        except orjson.JSONDecodeError:
            return None
        return found if isinstance(found, (dict, list)) else None


def _without_fence(text: str) -> str:
    """The text without the fence that Markdown puts around code."""
    text = text.strip()
    if not (text.startswith("```") and text.endswith("```") and "\n" in text):
        return text
    return text.partition("\n")[2].removesuffix("```")


def _count(value: object) -> int | None:
    return value if type(value) is int else None
