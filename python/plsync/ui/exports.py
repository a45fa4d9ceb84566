"""The route that writes chosen calls into a file: a recording, lines of JSON, or a page."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote_plus

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from plsync.journal.record import Record
from plsync.replay.exporter import export as export_recording
from plsync.ui.actions import body_of
from plsync.ui.answers import ApiError, line
from plsync.ui.page import write_page
from plsync.ui.queries import Queries
from plsync.ui.requests import Context
from plsync.ui.selection import Selection

__all__ = ["export"]

_MOST_CALLS: Final = 10_000
_TYPES: Final = {"recording": "application/jsonl", "jsonl": "application/jsonl", "html": "text/html"}
_NAMES: Final = {"recording": "calls.jsonl", "jsonl": "records.jsonl", "html": "calls.html"}


async def export(request: Request) -> Response:
    """``POST /api/export``: the file."""
    context = Context(request, filters=False)
    body = await body_of(request)
    for name in body:
        if name not in ("format", "ids", "query"):
            raise ApiError(400, "bad_request", f"{name[:40]!r} is no field here: format, ids, query")
    form = body.get("format")
    if form not in _TYPES:
        raise ApiError(400, "bad_request", f"format is one of {', '.join(_TYPES)}")
    if form != "html":
        context.content()
    selection = _selection(body)
    if selection.searches:
        context.content()
    headers = {"content-disposition": f'attachment; filename="{_NAMES[form]}"'}
    if form == "jsonl":
        lines = map(line, (record.as_dict() for record in _records(context.queries, selection)))
        return StreamingResponse(lines, media_type=_TYPES[form], headers=headers)
    content = await run_in_threadpool(lambda: _file(context, form, selection, body))
    return Response(content, media_type=_TYPES[form], headers=headers)


def _selection(body: dict[str, Any]) -> Selection:
    ids, query = body.get("ids"), body.get("query", "")
    if ids is not None:
        if not isinstance(ids, list) or not ids or not all(isinstance(one, str) for one in ids):
            raise ApiError(400, "bad_request", "ids is a list of ids")
        return Selection({"runs": True}, ids=tuple(ids[:_MOST_CALLS]))
    if not isinstance(query, str):
        raise ApiError(400, "bad_request", "query is a text such as result=error&model=gpt-4o")
    return Selection.of(QueryParams(query))


def _records(queries: Queries, selection: Selection) -> Iterator[Record]:
    return islice(queries.everything(selection), _MOST_CALLS)


def _file(context: Context, form: str, selection: Selection, body: dict[str, Any]) -> bytes:
    records = _records(context.queries, selection)
    with tempfile.TemporaryDirectory(prefix="plsync-") as directory:
        path = Path(directory) / _NAMES[form]
        if form == "html":
            chosen = "" if body.get("ids") else unquote_plus(str(body.get("query", "")))
            write_page(context.journal, records, path, query=chosen, hide=context.settings.hide_content)
        else:
            # A recording begins with the oldest call.
            report = export_recording(sorted(records, key=lambda record: record.id), path)
            if not report.calls:
                raise ApiError(400, "invalid", "no chosen call has a whole request and a whole answer")
            if len(list(Path(directory).iterdir())) > 1:
                raise ApiError(400, "invalid", "this recording has files beside it: use `plsync export --recording`")
        return path.read_bytes()
