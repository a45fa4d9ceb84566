"""The page of the delivery: the records by delivery, the sender, and the work that waits for a person."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from plsync.callbacks.sinks import sink_kind, way_to_call
from plsync.delivery.lock import SenderProcess, current_sender
from plsync.delivery.next_step import next_step
from plsync.journal import words
from plsync.journal.filters import Filters
from plsync.journal.journal import Journal
from plsync.journal.record import Record
from plsync.journal.reports import SinkBacklog, Stats
from plsync.ui.answers import answer
from plsync.ui.requests import Context
from plsync.ui.rows import ms
from plsync.ui.state import followup_row, shown_reason

__all__ = ["check", "counts", "delivery", "of_reason", "sender_row"]

_MOST_IDS: Final = 100
_MOST_FOLLOWUPS: Final = 50
_SERVER_FIELDS: Final = ("url", "key", "acked", "in_doubt", "bound", "stand_in")
_BUDGET: Final = 0.5
# Reasons that differ in an id or a number alone are one reason.
_VARYING: Final = re.compile(r"\b[0-9a-f]{4,}(?:-[0-9a-f]{4,})*\b|\b\d+\b", re.ASCII)
_STATUS: Final = re.compile(r"\b[45]\d\d\b", re.ASCII)


@dataclass(slots=True)
class _Group:
    """Records with one reason."""

    reason: str
    count: int = 0
    ids: list[str] = field(default_factory=list)
    newest_ms: int = 0


def delivery(request: Request) -> Response:
    """``GET /api/delivery``: the whole page."""
    context = Context(request, filters=False)
    journal, hide = context.journal, context.settings.hide_content
    stats, sender = journal.stats(), current_sender(journal.path)
    refused, refused_whole = _grouped(journal, "refused", stats.states["dead"], hide=hide)
    held, held_whole = _grouped(journal, "held", stats.states["held"] - stats.opaque, hide=hide)
    unclear: Filters = {"delivery": "unclear"}
    lookups = [record.due_at for record in islice(journal.records(**unclear), _MOST_IDS)]
    run = stats.last_run
    dead, waiting = (journal.followups.by_state(state, limit=_MOST_FOLLOWUPS) for state in ("dead", "pending"))
    return answer(
        {
            "counts": counts(journal, stats),
            "oldest_waiting_ms": ms(stats.oldest_unsent),
            "next_step": next_step(stats, sender),
            "servers": [
                {
                    **{name: getattr(server, name) for name in _SERVER_FIELDS},
                    "first_ms": ms(server.first_at),
                    "last_ms": ms(server.last_at),
                }
                for server in stats.servers
            ],
            "sender": sender_row(sender),
            "last_run": run
            and {
                **{name: getattr(run, name) for name in ("url", "pid", "outcome", "reason", "remedy")},
                "began_ms": ms(run.began_at),
                "ended_ms": ms(run.ended_at),
            },
            "refused": [_group(group) for group in refused],
            "held": [_group(group) for group in held],
            "exact": refused_whole and held_whole,
            "unclear_next_ms": min((at for at in map(ms, lookups) if at is not None), default=None),
            "callbacks": list(map(_callback, stats.sinks)),
            "followups": {
                "waiting": stats.followups,
                "stranded": stats.followups_stranded,
                "refused_count": stats.followups_dead,
                "sent": stats.followups_sent,
                "refused": [followup_row(followup, hide=hide) for followup in dead],
                "waiting_list": [followup_row(followup, hide=hide) for followup in waiting],
            },
            "journal": _journal(stats),
        }
    )


def check(request: Request) -> Response:
    """``GET /api/check``: the result of ``plsync check``."""
    report = Context(request, filters=False).journal.check()
    return answer({"ok": not report.problems, **report.as_dict()})


def counts(journal: Journal, stats: Stats) -> dict[str, int]:
    """The numbers of calls by delivery. Running calls and the program's own bytes are not among them."""
    states: dict[str, int] = {word: stats.states.get(state, 0) for state, word in words.DELIVERY_OF_STATE.items()}
    states["waiting"] = max(0, states["waiting"] - stats.open)
    states["held"] = max(0, states["held"] - stats.opaque)
    # The store counts records without content in their states. They can never be sent.
    held = sum(record.pruned for record in journal.records(state="held")) if stats.dropped and states["held"] else 0
    states["held"] = max(0, states["held"] - held)
    states["refused"] = max(0, states["refused"] - stats.dropped + held)
    return {**states, "dropped": stats.dropped}


def sender_row(sender: SenderProcess | None) -> dict[str, Any] | None:
    """The process that sends; None if no process does."""
    if sender is None:
        return None
    return {"pid": sender.pid, "activity": sender.activity, "since_ms": int(sender.since * 1000)}


def of_reason(journal: Journal, delivered: str, reason: str, *, hide: bool) -> Iterator[Record]:
    """The refused or held records with a reason, as :func:`delivery` shows it."""
    filters: Filters = {"delivery": delivered, "runs": True}
    key = _key(reason)
    return (record for record in journal.records(**filters) if _key(_reason(record, hide=hide)) == key)


def _grouped(journal: Journal, delivered: str, number: int, *, hide: bool) -> tuple[list[_Group], bool]:
    """The records with a delivery by their reasons, and whether all were read in time."""
    groups: dict[str, _Group] = {}
    deadline = time.monotonic() + _BUDGET
    filters: Filters = {"delivery": delivered}
    if number <= 0:
        return [], True
    for record in journal.records(**filters):
        if record.size == 0 and record.stored_kind() is None:  # the program's own bytes
            continue
        reason = _reason(record, hide=hide)
        group = groups.setdefault(_key(reason), _Group(reason))
        group.count += 1
        group.newest_ms = max(group.newest_ms, record.started_ns // 1_000_000)
        if len(group.ids) < _MOST_IDS:
            group.ids.append(record.id)
        if group.count % 50 == 0 and time.monotonic() > deadline:
            return sorted(groups.values(), key=lambda one: -one.count), False
    return sorted(groups.values(), key=lambda one: -one.count), True


def _key(reason: str) -> str:
    """The reason without ids and numbers, but with the status."""
    return _VARYING.sub(lambda found: found[0] if _STATUS.fullmatch(found[0]) else "#", reason)


def _reason(record: Record, *, hide: bool) -> str:
    return shown_reason(record.last_error, hide=hide) or ""


def _group(group: _Group) -> dict[str, Any]:
    return {
        "reason": group.reason,
        "key": _key(group.reason),
        "count": group.count,
        "ids": group.ids,
        "newest_ms": group.newest_ms,
    }


def _callback(sink: SinkBacklog) -> dict[str, Any]:
    return {
        "sink": sink.sink,
        "kind": sink_kind(sink.sink),
        "waiting": sink.waiting,
        "owned": sink.owned,
        "pids": sink.pids,
        "dead": sink.dead,
        "last_error": sink.last_error,
        "way": way_to_call(sink.sink),
    }


def _journal(stats: Stats) -> dict[str, Any]:
    numbers = ("lmdb_bytes", "used_bytes", "pruned", "dropped", "forgotten", "failures", "last_failure", "damaged")
    writers = [
        {name: getattr(writer, name) for name in ("pid", "alive", "events", "failures", "started_ms")}
        for writer in stats.writers
    ]
    return {
        **{name: getattr(stats, name) for name in numbers},
        "spool_bytes": stats.spool.bytes,
        "quota": stats.quota.as_dict() | {"over": stats.over_quota},
        "writers": writers,
        "disk_free": stats.disk_free,
    }
