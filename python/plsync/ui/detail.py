"""One record in full, as the page shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from plsync.journal.display import message_text
from plsync.journal.display.conversation import Conversation, Message, Part, ToolCall, conversation
from plsync.journal.display.media import Media
from plsync.journal.display.noise import own_metadata, own_params
from plsync.journal.display.notes import result_note
from plsync.journal.events.facts import step_input
from plsync.journal.followups import FollowUp
from plsync.journal.record import Record
from plsync.ui.answers import as_json
from plsync.ui.rows import Rows
from plsync.ui.state import delivery_row, followup_row
from plsync.ui.values import Fields

__all__ = ["Detail", "media_of", "shows"]

_MOST_TIMES: Final = 2000
_TOOL_PARAMS: Final = ("tools", "functions")
# Media of these types are safe in a page that runs no script of theirs. An SVG image could hold one.
_SHOWN: Final = {
    **dict.fromkeys(("image/png", "image/jpeg", "image/gif", "image/webp", "image/avif"), "image"),
    **dict.fromkeys(("audio/mpeg", "audio/mp3", "audio/wav", "audio/ogg", "audio/webm", "audio/flac"), "audio"),
    **dict.fromkeys(("video/mp4", "video/webm", "video/ogg"), "video"),
}


def shows(mime: str) -> str | None:
    """How a page shows media of a type: as ``image``, ``audio`` or ``video``; None for a download."""
    return _SHOWN.get(mime.partition(";")[0].strip().lower())


@dataclass(slots=True)
class Detail:
    """Makes the page of one record.

    Args:
        record: the record.
        rows: makes its row.
        fields: makes its texts and values.
    """

    record: Record
    rows: Rows
    fields: Fields

    def as_dict(self, followups: Sequence[FollowUp] = ()) -> dict[str, Any]:
        """Everything about the record, JSON-able."""
        record = self.record
        found = conversation(record)
        return {
            **self.rows.row(record),
            "run_id": record.run_id,
            "parent_run_id": record.parent_run_id,
            "trace_id": record.trace_id,
            "span_id": record.span_id,
            "size": record.size,
            "result_note": result_note(record).removeprefix(": "),
            "messages": self.messages(found),
            "outputs": self.outputs(found),
            "error_detail": self._error(),
            **self._settings(),
            **self._metadata(),
            "stream": _stream(record),
            "delivery_detail": delivery_row(record, hide=self.fields.hide),
            "followups": [followup_row(followup, hide=self.fields.hide) for followup in followups],
            "run": self._run(),
            "tree": None,
            "earlier": None,
            "content_note": message_text.content_gone(record) or None,
            "damage": record.damage,
        }

    def messages(self, found: Conversation) -> list[dict[str, Any]]:
        """The messages of the request."""
        counter = _Counter()
        return [self.message(message, f"messages/{at}", counter) for at, message in enumerate(found.messages)]

    def outputs(self, found: Conversation) -> list[dict[str, Any]]:
        """The candidates of the response."""
        counter = _Counter(sum(part.media is not None for message in found.messages for part in message.parts))
        return [
            {
                "message": self.message(output.message, f"outputs/{at}", counter),
                "finish_reason": output.finish_reason,
            }
            for at, output in enumerate(found.outputs)
        ]

    def message(self, message: Message, path: str, media: _Counter) -> dict[str, Any]:
        """One message.

        Args:
            message: the message.
            path: its place in the record.
            media: counts the media of the record.
        """
        answers = message.answers
        return {
            "role": message.role,
            "name": message.name,
            "parts": [self._part(part, f"{path}/parts/{at}", media) for at, part in enumerate(message.parts)],
            "tool_calls": [self._call(call, f"{path}/calls/{at}") for at, call in enumerate(message.tool_calls)],
            "tool_call_id": message.tool_call_id,
            "answers": None if answers is None else {"message": answers[0], "call": answers[1]},
            "status": message.status,
            "chars": message.length,
            "id": message.id,
            "extra": self.fields.value(message.extra, f"{path}/extra") if message.extra else None,
        }

    def _part(self, part: Part, path: str, media: _Counter) -> dict[str, Any]:
        if part.media is not None:
            return self._media(part.media, media.next())
        if part.kind == "link":
            url = "" if self.fields.hide else part.text[:2000]
            return {"kind": "link", "url": url, "mime": None, "name": None}
        if part.kind == "json":
            return {"kind": "json", "value": self.fields.value(part.value, path)}
        return {"kind": part.kind, "text": self.fields.text(part.text, path)}

    def _media(self, media: Media, number: int) -> dict[str, Any]:
        mime = media.mime or "application/octet-stream"
        if not media.mime:
            # The beginning decides the type.
            start = Media(media.kind, None, None, (media.data or "")[:64], None, None).content() or b""
            mime = media.type_of(start)
        return {
            "kind": "media",
            "n": number,
            "mime": mime,
            "bytes": media.decoded_size,
            "name": None if self.fields.hide else media.name,
            "src": None if self.fields.hide else f"/api/media/{self.record.id}/{number}",
            "shows": shows(mime),
        }

    def _call(self, call: ToolCall, path: str) -> dict[str, Any]:
        return {
            "id": call.id,
            "name": call.name,
            "args": self.fields.value(call.args, path),
            "valid": call.error is None,
            "error": None if self.fields.hide and call.error else call.error,
            "answer": call.answer,
        }

    def _error(self) -> dict[str, Any] | None:
        error = self.record.error
        if error is None:
            return None
        response = self.record.error_response()
        body, headers = response.get("body"), response.get("headers")
        return {
            "type": error["type"],
            "module": error["module"],
            "status_code": error["status_code"],
            "message": self.fields.text(error["message"], "error/message"),
            "body": None if body is None else self.fields.text(_text(body), "error/body"),
            "headers": headers if isinstance(headers, dict) and not self.fields.hide else None,
            "request_id": response.get("request_id"),
        }

    def _settings(self) -> dict[str, Any]:
        record = self.record
        params = {name: value for name, value in record.params.items() if value is not None}
        tools = [tool for key in _TOOL_PARAMS if isinstance(params.get(key), list) for tool in params.pop(key)]
        own = own_params(record, params)
        options = {name: value for name, value in record.options.items() if value is not None and name not in own}
        return {
            "settings": self._named({**own, **options}, "settings"),
            "settings_hidden": self._named({k: v for k, v in params.items() if k not in own}, "settings_hidden"),
            "tools": [self._tool(tool, f"tools/{at}") for at, tool in enumerate(tools)],
        }

    def _tool(self, tool: Any, path: str) -> dict[str, Any]:
        inner = tool.get("function", tool) if isinstance(tool, dict) else {"name": str(tool)}
        inner = inner if isinstance(inner, dict) else {}
        schema = next((inner[key] for key in ("parameters", "input_schema") if key in inner), tool)
        return {
            "name": str(inner.get("name") or inner.get("type") or "?"),
            "description": self.fields.text(str(inner.get("description") or ""), f"{path}/description"),
            "schema": self.fields.value(schema, f"{path}/schema"),
        }

    def _metadata(self) -> dict[str, Any]:
        metadata = self.record.metadata
        own = own_metadata(metadata)
        hidden = {name: value for name, value in metadata.items() if name not in own}
        return {
            "metadata_all": self._named(own, "metadata", is_content=False),
            "metadata_hidden": self._named(hidden, "metadata_hidden", is_content=False),
        }

    def _named(self, values: dict[str, Any], path: str, *, is_content: bool = True) -> list[dict[str, Any]]:
        return [
            {"name": name, "value": self.fields.value(value, f"{path}/{name}", is_content=is_content)}
            for name, value in values.items()
        ]

    def _run(self) -> dict[str, Any] | None:
        if not self.record.is_run:
            return None
        start, end = self.record.plain_events()
        found = {"input": step_input(start, end), "output": end.get("output")}
        values = {
            name: None if value is None else self.fields.value(value, f"run/{name}") for name, value in found.items()
        }
        return {**values, "tool_call_id": start.get("tool_call_id")}


class _Counter:
    """Numbers the media of a record."""

    def __init__(self, first: int = 0) -> None:
        self._next = first

    def next(self) -> int:
        """The next number."""
        self._next += 1
        return self._next - 1


def _stream(record: Record) -> dict[str, Any] | None:
    times = [at for at in record.chunk_times or () if isinstance(at, int)]
    if not times:
        return None
    step = -(-len(times) // _MOST_TIMES)
    gap = max(pairwise(times), key=lambda pair: pair[1] - pair[0], default=None)
    return {
        "pieces": len(times),
        "times_us": times[::step],
        "first_us": times[0],
        "gap": None if gap is None else {"from_us": gap[0], "to_us": gap[1]},
    }


def _text(value: Any) -> str:
    return value if isinstance(value, str) else as_json(value).decode()


def media_of(found: Iterable[Media], number: int) -> Media | None:
    """The media with a number."""
    return next((media for at, media in enumerate(found) if at == number), None)
