"""The state of a record and of its follow-ups on the way to PromptLayer, JSON-able."""

from __future__ import annotations

import re
from typing import Any, Final

from plsync.journal.display.notes import delivery_note
from plsync.journal.followups import FollowUp
from plsync.journal.record import Record
from plsync.ui.rows import ms

__all__ = ["delivery_row", "followup_row", "shown_reason"]

_STATUS: Final = re.compile(r"\b[45]\d\d\b", re.ASCII)
_FOLLOWUP_WORDS: Final = {"pending": "waiting", "dead": "refused", "sent": "sent"}
# Content may be in these parameters of a follow-up.
_HIDDEN_PAYLOADS: Final = ("prompt_input_variables", "metadata")


def followup_row(followup: FollowUp, *, hide: bool) -> dict[str, Any]:
    """A score, metadata, prompt link or group, JSON-able."""
    payload = followup.payload
    if hide:
        payload = {name: value for name, value in payload.items() if name not in _HIDDEN_PAYLOADS}
    return {
        "number": followup.number,
        "op": followup.op,
        "payload": payload,
        "state": followup.state,
        "word": _FOLLOWUP_WORDS[followup.state],
        "record_id": followup.record_id,
        "request_id": followup.request_id,
        "queued_ms": ms(followup.queued_at),
        "sent_ms": ms(followup.sent_at),
        "due_ms": ms(followup.due_at),
        "attempts": followup.attempts,
        "last_error": shown_reason(followup.last_error, hide=hide),
    }


def shown_reason(reason: str | None, *, hide: bool) -> str | None:
    """The reason of a failed delivery. A server may quote the content behind its status."""
    if not hide or reason is None:
        return reason
    status = _STATUS.search(reason)
    return reason[: status.end()] if status else reason.partition(":")[0]


def delivery_row(record: Record, *, hide: bool) -> dict[str, Any]:
    """Where a record is on its way to PromptLayer, JSON-able."""
    note = delivery_note(record).strip().removeprefix(": ").removeprefix(", ")
    reason = shown_reason(record.last_error, hide=hide)
    if record.last_error and reason is not None:
        note = note.replace(record.last_error, reason)
    return {
        "state": record.state,
        "note": note,
        "attempts": record.attempts,
        "last_error": reason,
        "due_ms": ms(record.due_at),
        "acked_ms": ms(record.acked_at),
        "lane": record.lane,
        "renewed": record.renewed,
        "server": record.server,
        "request_id": record.request_id,
        "sink": record.sink,
        "command": f"plsync show {record.id}",
    }
