"""The routes of one record: everything about it, its raw JSON, its fields, and its media."""

from __future__ import annotations

from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from plsync._common.large_json import dumps
from plsync.journal.display.conversation import conversation
from plsync.journal.followups import FollowUp
from plsync.journal.record import Record
from plsync.ui.answers import ApiError, answer, as_json
from plsync.ui.detail import Detail, media_of, shows
from plsync.ui.earlier import earlier
from plsync.ui.requests import Context
from plsync.ui.values import Fields

__all__ = ["call", "detail_of", "field", "media", "raw"]

# A document from the journal runs no script, and loads nothing.
_SANDBOX = "sandbox; default-src 'none'"


def call(request: Request) -> Response:
    """``GET /api/calls/{id}``: everything about one record."""
    context = Context(request, filters=False)
    return answer(detail_of(context, context.record()))


def detail_of(context: Context, record: Record) -> dict[str, Any]:
    """Everything about one record, JSON-able."""
    found = Detail(record, context.rows, context.fields(record)).as_dict(_followups(context, record))
    found["earlier"] = earlier(context.journal, record)
    if record.root_id is not None:
        found["tree"] = {"root_id": record.root_id}
    return found


def raw(request: Request) -> Response:
    """``GET /api/calls/{id}/raw``: the record as ``plsync show --json`` prints it."""
    context = Context(request, "download", filters=False)
    context.content()
    record = context.record()
    followups = [followup.as_dict() for followup in _followups(context, record)]
    content = _indented(record.as_dict() | {"followups": followups})
    return Response(content, media_type="application/json", headers=_named(context, f"{record.id}.json"))


def field(request: Request) -> Response:
    """``GET /api/calls/{id}/field``: one field, whole."""
    context = Context(request, "path", "download", filters=False)
    context.content()
    record = context.record()
    wanted = _Wanted(context.text("path"))
    Detail(record, context.rows, wanted).as_dict()
    if wanted.found is None:
        raise ApiError(404, "not_found", f"the record has no field {wanted.path[:100]!r}")
    headers = {"content-security-policy": _SANDBOX, **_named(context, f"{record.id}.txt")}
    return Response(wanted.found, media_type="text/plain", headers=headers)


def media(request: Request) -> Response:
    """``GET /api/media/{id}/{n}``: the bytes of an image, a sound, a video or a file."""
    context = Context(request, "download", filters=False)
    context.content()
    record = context.record()
    found = media_of(conversation(record).media(), request.path_params["n"])
    content = None if found is None else found.content()
    if found is None or content is None:
        raise ApiError(404, "not_found", "the record has no such media, or their base64 is damaged")
    mime = found.type_of(content)
    headers = {"content-security-policy": _SANDBOX}
    if shows(mime) is None:
        # The bytes are the program's, so their type is not believed.
        mime = "application/pdf" if mime == "application/pdf" else "application/octet-stream"
        headers["content-disposition"] = "attachment"
    return Response(content, media_type=mime, headers=headers)


class _Wanted(Fields):
    """Keeps the whole content of one field, and drops all other fields."""

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path
        self.found: bytes | None = None

    def text(self, text: str, path: str) -> dict[str, Any]:
        if path == self.path:
            self.found = text.encode("utf-8", "backslashreplace")
        return {}

    def value(self, value: Any, path: str, *, is_content: bool = True) -> dict[str, Any]:
        if path == self.path:
            is_text = isinstance(value, str)
            self.found = value.encode("utf-8", "backslashreplace") if is_text else _indented(value)
        return {}


def _followups(context: Context, record: Record) -> list[FollowUp]:
    return [] if record.is_run else context.journal.followups.history(record.id)


def _indented(value: Any) -> bytes:
    try:
        return dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_NON_STR_KEYS)
    except TypeError:  # a lone surrogate, or a number that JSON lacks
        return as_json(value)


def _named(context: Context, name: str) -> dict[str, str]:
    return {"content-disposition": f'attachment; filename="{name}"'} if context.text("download") else {}
