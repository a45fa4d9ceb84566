"""The routes of conversations: calls with one thread id, or of one tree, as a chat."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final, Literal
from uuid import UUID

from starlette.requests import Request
from starlette.responses import Response

from plsync.errors import RecordNotFound
from plsync.journal import words
from plsync.journal.conditions import thread_of
from plsync.journal.display import message_text
from plsync.journal.display.conversation import conversation as parts_of
from plsync.journal.display.conversation import message_of
from plsync.journal.events.facts import short_model
from plsync.journal.filters import Filters
from plsync.journal.record import Record
from plsync.ui.answers import ApiError, answer
from plsync.ui.detail import Detail
from plsync.ui.earlier import repeated
from plsync.ui.requests import Context
from plsync.ui.rows import us
from plsync.ui.state import followup_row
from plsync.ui.values import preview

__all__ = ["conversation", "conversations"]

_BUDGET: Final = 0.3
_MOST_CALLS: Final = 500
_UNSENT: Final = frozenset({"waiting", "sending", "unclear", "refused", "held"})

Kind = Literal["thread", "tree"]


@dataclass(frozen=True, slots=True)
class _Key:
    """The thread id or the root that the calls of a conversation share."""

    kind: Kind
    key: str


def conversations(request: Request) -> Response:
    """``GET /api/conversations``: conversations, the one with the newest call first."""
    context = Context(request, "limit", "before")
    limit = context.number("limit", 50, 1, 200)
    cursor = context.text("before") or None
    deadline = time.monotonic() + _BUDGET
    found: dict[_Key, None] = {}
    last, is_whole = cursor, True
    for record in context.queries.everything(context.selection, cursor):
        last = record.id
        key = _key_of(record)
        if key is not None and key not in found and (cursor is None or not _has_newer(context, key, cursor)):
            found[key] = None
        record.drop_parsed()
        if len(found) == limit or time.monotonic() > deadline:
            is_whole = False
            break
    rows = [row for key in found if (row := _summary(context, key)) is not None]
    return answer(
        {
            "conversations": rows,
            "next": None if is_whole else last,
            "complete": is_whole or len(found) == limit,
        }
    )


def conversation(request: Request) -> Response:
    """``GET /api/conversation``: the turns of one conversation, oldest first, each with its new messages alone."""
    context = Context(request, "thread", "tree", "after", "limit", filters=False)
    limit = context.number("limit", 100, 1, 200)
    if thread := context.text("thread"):
        key = _Key("thread", thread)
    elif root := context.text("tree"):
        key = _Key("tree", _whole_id(root))
    else:
        raise ApiError(400, "bad_request", "send thread or tree")
    after = _whole_id(context.text("after")) if context.text("after") else ""
    calls = list(_calls(context, key, _MOST_CALLS + 1))
    if not calls:
        raise RecordNotFound(f"no call has the {key.kind} {key.key[:100]!r}")
    later = [at for at, record in enumerate(calls) if record.id > after]
    page = later[:limit]
    turns = [_turn(context, calls, at) for at in page]
    cursor = calls[page[-1]].id if page and len(later) > len(page) else None
    return answer({"kind": key.kind, "key": key.key, "turns": turns, "next": cursor, "calls": len(calls)})


def _turn(context: Context, calls: Sequence[Record], at: int) -> dict[str, Any]:
    record = calls[at]
    known = max((repeated(before, record) for before in calls[max(0, at - 5) : at]), default=0)
    detail = Detail(record, context.rows, context.fields(record))
    found = parts_of(record)
    followups = context.journal.followups.history(record.id)
    return {
        "call": context.rows.row(record),
        "messages": detail.messages(found)[known:],
        "outputs": detail.outputs(found),
        "earlier": known,
        "followups": [followup_row(followup, hide=context.settings.hide_content) for followup in followups],
    }


def _key_of(record: Record) -> _Key | None:
    thread = thread_of(record.metadata)
    if thread is not None:
        return _Key("thread", thread)
    return None if record.root_id is None else _Key("tree", record.root_id)


def _calls(context: Context, key: _Key, limit: int) -> Iterable[Record]:
    """The calls of a conversation, oldest first."""
    if key.kind == "thread":
        filters: Filters = {"thread": key.key}
        return islice(context.journal.records(oldest_first=True, **filters), limit)
    return islice(context.journal.tree(key.key).calls, limit)


def _has_newer(context: Context, key: _Key, cursor: str) -> bool:
    """Whether a conversation has a call at or above a cursor, and so was on an earlier page."""
    if key.kind == "thread":
        filters: Filters = {"thread": key.key}
        newest = next(context.journal.records(limit=1, **filters), None)
    else:
        newest = next(reversed(context.journal.tree(key.key).calls), None)
    return newest is not None and newest.id >= cursor


def _summary(context: Context, key: _Key) -> dict[str, Any] | None:
    """The sums of a conversation; None for an id that no filter can name, or whose calls were just forgotten."""
    calls = list(_calls(context, key, _MOST_CALLS + 1))
    if not calls:
        return None
    rows = context.rows
    usages = [usage for record in calls if (usage := record.usage) is not None]
    costs = [cost for cost in map(rows.prices.cost_of, calls) if cost is not None]
    first, last = calls[0], calls[-1]
    return {
        "kind": key.kind,
        "key": key.key,
        "title": None if rows.hide else _title(first),
        "model": None if first.model is None else short_model(first.model),
        "calls": len(calls),
        "calls_exact": len(calls) <= _MOST_CALLS,
        "errors": sum(words.result(record) == "error" for record in calls),
        "undelivered": sum(words.delivery(record) in _UNSENT for record in calls),
        "tokens": {
            "input": sum(usage["input_tokens"] for usage in usages),
            "output": sum(usage["output_tokens"] for usage in usages),
        },
        "cost": sum(costs) if costs else None,
        "took_us": us(sum(record.duration_ns or 0 for record in calls)),
        "first_ms": first.started_ns // 1_000_000,
        "last_ms": last.started_ns // 1_000_000,
        "last_id": last.id,
    }


def _title(first: Record) -> str | None:
    """The first words of the person."""
    messages = map(message_of, first.input)
    texts = (part.text for message in messages if message.role in ("human", "prompt") for part in message.parts)
    return next(filter(None, map(preview, texts)), None) or preview(message_text.preview(first)) or None


def _whole_id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise ApiError(400, "bad_request", f"{text[:40]!r} is no whole id") from None
