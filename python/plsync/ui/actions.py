"""The routes that write: scores, metadata, and retries. ``--read-only`` removes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Final

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from plsync.errors import AmbiguousId, InvalidFollowUp, RecordNotFound
from plsync.journal.filters import Filters
from plsync.journal.journal import Journal
from plsync.ui.answers import ApiError, answer
from plsync.ui.deliveries import of_reason
from plsync.ui.requests import Context
from plsync.ui.state import followup_row

__all__ = ["add_metadata", "body_of", "retry", "score", "score_all"]

_LARGEST: Final = 8 << 20
_MOST_IDS: Final = 100_000
_AT_ONCE: Final = 1000
_RETRIED: Final = ("refused", "held")

Body = dict[str, Any]


async def body_of(request: Request) -> Body:
    """The object that a request sends.

    Raises:
        ApiError: it is larger than 8 MiB, or no object.
    """
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > _LARGEST:
            raise ApiError(413, "too_large", f"send at most {_LARGEST >> 20} MiB")
    try:
        found = orjson.loads(content)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise ApiError(400, "bad_request", "send an object of JSON")
    return found


async def score(request: Request) -> Response:
    """``POST /api/calls/{id}/score``: queue a score of a call."""
    return await _queue(request, "score", _score)


async def add_metadata(request: Request) -> Response:
    """``POST /api/calls/{id}/metadata``: queue metadata of a call."""

    def add(journal: Journal, about: str, body: Body) -> None:
        journal.track.metadata(about, _only(body, "metadata").get("metadata", {}))

    return await _queue(request, "metadata", add)


async def score_all(request: Request) -> Response:
    """``POST /api/score``: queue one score of many calls."""
    context = Context(request, filters=False)
    body = _only(await body_of(request), "ids", "score", "name")
    ids = _ids(body)

    def queue() -> Body:
        failed = []
        for one in ids:
            try:
                _score(context.journal, one, {"score": body.get("score"), "name": body.get("name")})
            except (InvalidFollowUp, RecordNotFound, AmbiguousId) as error:
                failed.append({"id": one, "message": str(error)})
        return {"queued": len(ids) - len(failed), "failed": failed}

    return answer(await run_in_threadpool(queue))


async def retry(request: Request) -> Response:
    """``POST /api/retry``: make refused and held records, follow-ups and callbacks wait for the next sender."""
    context = Context(request, filters=False)
    body = _only(await body_of(request), "ids", "delivery", "reason", "followups", "callbacks")
    if not body:
        raise ApiError(400, "bad_request", "choose ids, delivery, followups or callbacks")
    return answer(await run_in_threadpool(lambda: _retried(context, body)))


def _retried(context: Context, body: Body) -> dict[str, int]:
    journal, hide = context.journal, context.settings.hide_content
    moved = {"records": 0, "followups": 0, "callbacks": 0}
    if "ids" in body:
        records = [journal.get(one) for one in _ids(body)]
        moved["records"] += _requeue(journal, (record.seq for record in records))
        moved["followups"] += sum(journal.followups.requeue(record.id) for record in records if not record.is_run)
    reason = body.get("reason")
    delivered = body.get("delivery", [])
    chosen = [delivered] if isinstance(delivered, str) else delivered
    if not isinstance(chosen, list) or not all(word in _RETRIED for word in chosen) or (reason and not chosen):
        raise ApiError(400, "bad_request", f"delivery is one of {', '.join(_RETRIED)}")
    for word in chosen:
        filters: Filters = {"delivery": word, "runs": True}
        found = of_reason(journal, word, reason, hide=hide) if isinstance(reason, str) else journal.records(**filters)
        # The records leave the list while they are requeued.
        moved["records"] += _requeue(journal, [record.seq for record in found])
    if body.get("followups") is True:
        moved["followups"] += journal.followups.requeue()
    if body.get("callbacks") is True:
        moved["callbacks"] += journal.callbacks.requeue()
    return moved


def _requeue(journal: Journal, seqs: Iterable[int]) -> int:
    left = iter(seqs)
    moved = 0
    while page := list(islice(left, _AT_ONCE)):
        moved += journal.outbox.requeue(page)
    return moved


async def _queue(request: Request, op: str, add: Callable[[Journal, str, Body], None]) -> Response:
    context = Context(request, filters=False)
    body = await body_of(request)

    def queue() -> Body:
        record = context.record()
        add(context.journal, record.id, body)
        queued = [followup for followup in context.journal.followups.of(record.id) if followup.op == op]
        return {"followup": followup_row(queued[-1], hide=context.settings.hide_content) if queued else None}

    return answer(await run_in_threadpool(queue), 201)


def _score(journal: Journal, about: str, body: Body) -> None:
    fields = _only(body, "score", "name")
    name = fields.get("name") or None
    if name is not None and not isinstance(name, str):
        raise ApiError(400, "invalid", "the name of a score is a text")
    journal.track.score(about, fields.get("score"), name)  # type: ignore[arg-type]


def _only(body: Body, *names: str) -> Body:
    for name in body:
        if name not in names:
            raise ApiError(400, "bad_request", f"{name[:40]!r} is no field here: {', '.join(names)}")
    return body


def _ids(body: Body) -> list[str]:
    ids = body.get("ids")
    if not isinstance(ids, list) or not ids or not all(isinstance(one, str) for one in ids) or len(ids) > _MOST_IDS:
        raise ApiError(400, "bad_request", f"ids is a list of 1 to {_MOST_IDS:,} ids")
    return ids
