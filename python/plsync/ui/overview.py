"""The route of the journal as a whole, for the head of each page."""

from __future__ import annotations

import functools
import importlib.metadata
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from plsync._common.clock import now_ms
from plsync.delivery.lock import current_sender
from plsync.errors import JournalError
from plsync.ui.answers import answer
from plsync.ui.deliveries import counts, sender_row
from plsync.ui.requests import Context

__all__ = ["journal", "overview", "version"]


def journal(request: Request) -> Response:
    """``GET /api/journal``: the journal in numbers, and the choices of the user who started the page."""
    return answer(overview(Context(request, filters=False)))


def overview(context: Context) -> dict[str, Any]:
    """The journal in numbers, JSON-able."""
    opened, settings = context.journal, context.settings
    notes = []
    try:
        opened.ingest(wait=True)
    except JournalError as error:
        notes.append(f"the newest events could not be ingested, and stay in the spool: {error}")
    stats = opened.stats()
    if stats.read_only:
        notes.append(
            f"this user can only read the journal: {stats.waiting_events:,} newer events wait in its spool, and are "
            "not shown"
        )
    if settings.read_only:
        notes.append("--read-only: the page queues no score and no retry; events of the spool are still ingested")
    progress = opened.digests.progress()
    return {
        "version": version(),
        "path": _shown(opened.path),
        "name": opened.path.name,
        "id": opened.id,
        "records": stats.records,
        "open": stats.open,
        "runs": stats.runs,
        "last_seq": opened.last_seq(),
        "read_only": settings.read_only or stats.read_only,
        "hide_content": settings.hide_content,
        "prices": bool(settings.prices),
        "writable": not stats.read_only,
        "now_ms": now_ms(),
        "delivery": counts(opened, stats),
        "followups": {
            "waiting": stats.followups,
            "refused": stats.followups_dead,
            "sent": stats.followups_sent,
        },
        "callbacks": {"waiting": stats.callbacks, "dead": stats.callbacks_dead},
        "sender": sender_row(current_sender(opened.path)),
        "digests": {"counted": progress.done, "total": progress.total},
        "notes": notes,
    }


@functools.cache
def version() -> str:
    """The version of plsync."""
    return importlib.metadata.version("plsync")


def _shown(path: Path) -> str:
    """The path with ``~`` for the home directory."""
    try:
        return f"~/{path.relative_to(Path.home()).as_posix()}"
    except (ValueError, RuntimeError):
        return str(path)
