"""The route of the calls with the same request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from plsync.journal.display.conversation import message_of
from plsync.journal.record import Record
from plsync.ui.answers import answer
from plsync.ui.earlier import message_key
from plsync.ui.requests import Context
from plsync.ui.selection import Selection

__all__ = ["same"]

_MOST: Final = 100
_BUDGET_MS: Final = 500
# The search needs a part of a text in one line: a line end may be stored in several forms.
_SEARCHED: Final = 60


def same(request: Request) -> Response:
    """``GET /api/calls/{id}/same``: the calls with the same messages, of any model."""
    context = Context(request, filters=False)
    record = context.record()
    text = _longest_line(record)
    if record.is_run or not text:
        return answer({"calls": [], "complete": True})
    wanted = list(map(message_key, record.input))
    page = context.queries.page(Selection({"text": text}), limit=_MOST, budget_ms=_BUDGET_MS)
    found = [one for one in page.records if one.id != record.id and list(map(message_key, one.input)) == wanted]
    rows = context.rows
    return answer({"calls": [rows.row(one) for one in found], "complete": page.cursor is None})


def _longest_line(record: Record) -> str:
    lines = (line.strip() for text in _texts(record.input[-1:]) for line in text[:100_000].splitlines())
    return max(lines, key=len, default="")[:_SEARCHED]


def _texts(messages: list[Any]) -> Iterator[str]:
    for message in messages:
        yield from (part.text for part in message_of(message).parts if part.kind == "text")
