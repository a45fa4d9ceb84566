"""PromptLayer's answers, read: what is asked of an answer before it counts as the one that was asked for.

A reader gives the outcome, or None where the answer is another one; :func:`failed` says what that means.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Final

import orjson

from plsync.promptlayer.answers import of_status
from plsync.promptlayer.outcomes import Delivered, Fetched, Found, Missing, Outcome, Rejected, Throttled

__all__ = ["Reader", "delivery", "failed", "listing", "parsed", "search", "short", "template", "trace", "tracked"]

Reader = Callable[[int, dict[str, Any]], Outcome | None]

_MAX_REASON: Final = 300
_LONGEST_RETRY_AFTER: Final = 3600.0


def delivery(status: int, answer: dict[str, Any]) -> Outcome | None:
    """Of ``POST /spans-bulk``: the request ids by span id."""
    if status not in {200, 201} or answer.get("success") is not True:
        return None
    ids = _ids(answer.get("request_logs"), "id")
    rejected = answer.get("rejected_span_ids")
    closed = (
        frozenset(span for span in rejected if isinstance(span, str)) if isinstance(rejected, list) else frozenset()
    )
    return Delivered({span: request_id for span, request_id in ids.items() if request_id is not None}, closed)


def tracked(status: int, answer: dict[str, Any]) -> Outcome | None:
    """Of ``POST /rest/track-...``: something said of a request was taken."""
    if status == 200 and answer.get("success") is True:
        return Delivered({})
    # In PromptLayer's own words a 404 is about the request, the prompt or the group that is named.
    if status in {200, 404} and answer.get("success") is False:
        return Rejected(f"{status} {_message(answer)}".strip())
    return None


def template(status: int, answer: dict[str, Any]) -> Outcome | None:
    """Of ``GET /prompt-templates/{name}``."""
    if status == 200 and isinstance(answer.get("prompt_template"), dict):
        return Fetched(answer)
    if status == 404 and answer.get("success") is False:
        return Missing(_message(answer))
    return None


def listing(name: str) -> Reader:
    """Of what answers with a list under this name."""

    def read(status: int, answer: dict[str, Any]) -> Outcome | None:
        if status == 200 and isinstance(answer.get(name), list):
            return Fetched(answer)
        return Missing(_message(answer)) if status == 404 and answer.get("success") is False else None

    return read


def trace(status: int, answer: dict[str, Any]) -> Outcome | None:
    """Of ``GET /api/public/v2/traces/{trace_id}``: the request ids by span id, None where there is no log."""
    # In PromptLayer's own words: something else that says 404 knows nothing of traces.
    if status == 404 and answer.get("success") is False:
        return Missing(_message(answer))
    if status == 200 and answer.get("success") is True and isinstance(answer.get("spans"), list):
        return Found(_ids(answer["spans"], "request_log_id"))
    return None


def search(status: int, answer: dict[str, Any]) -> Outcome | None:
    """Of ``POST /api/public/v2/requests/search``: the request ids by record id."""
    items = answer.get("items")
    if status != 200 or not isinstance(items, list):
        return None
    found: dict[str, int | None] = {}
    for item in items:
        # Two logs of one record: the first is the one to keep.
        for record_id, request_id in _searched(item):
            found[record_id] = min(found.get(record_id) or request_id, request_id)
    return Found(found)


def _searched(item: Any) -> Iterator[tuple[str, int]]:
    if not isinstance(item, dict) or not _is_id(item.get("id")):
        return
    metadata = item.get("metadata")
    for entry in metadata if isinstance(metadata, list) else []:
        if isinstance(entry, dict) and isinstance(record_id := entry.get("plsync_id"), str):
            yield record_id, item["id"]


def _ids(entries: Any, key: str) -> dict[str, int | None]:
    found: dict[str, int | None] = {}
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("span_id"), str):
            found[entry["span_id"]] = entry[key] if _is_id(entry.get(key)) else None
    return found


def _is_id(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 63


def failed(status: int, retry_after: str | None, answer: dict[str, Any] | None) -> Outcome:
    """What an answer means that is not the one asked for."""
    outcome, reason = of_status(status), f"{status} {_message(answer)}".strip()
    if outcome is Throttled:
        return Throttled(reason, _seconds(retry_after))
    return Rejected(reason, foreign=answer is None) if outcome is Rejected else outcome(reason)


def parsed(content: bytes) -> dict[str, Any] | None:
    """The JSON object that an answer is; None when it is none."""
    try:
        parsed = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    return parsed if isinstance(parsed, dict) else None


def short(value: object) -> str:
    """A reason on one line, of a length to be kept with a record."""
    return " ".join(str(value).split())[:_MAX_REASON]


def _message(answer: dict[str, Any] | None) -> str:
    """PromptLayer's words: ``message`` or ``error``, or the first of a validation's ``detail``."""
    if answer is None:
        return "(an answer that is not PromptLayer's JSON)"
    detail = answer.get("detail")
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        place = detail[0].get("loc")
        where = ".".join(str(part) for part in place) if isinstance(place, list) else ""
        return short(f"{where}: {detail[0].get('msg')}")
    return short(answer.get("message") or answer.get("error") or detail or "")


def _seconds(retry_after: str | None) -> float | None:
    """``Retry-After`` in either of its forms (RFC 9110, 10.2.3), within reason."""
    if retry_after is None:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(retry_after) - datetime.now(timezone.utc)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER) if math.isfinite(seconds) else None
