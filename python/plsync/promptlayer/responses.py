"""Parses PromptLayer's responses into outcomes.

A parser takes a status and the JSON object of a body. The parser returns the outcome of the expected response, and None
for any other response, whose outcome :func:`failure` returns.
"""

from __future__ import annotations

import codecs
import math
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any, Final

import orjson

from plsync.promptlayer.outcomes import (
    Delivered,
    Fetched,
    Found,
    Missing,
    Outcome,
    Refused,
    Throttled,
    outcome_of_status,
)

__all__ = [
    "Parser",
    "failure",
    "list_parser",
    "one_line",
    "parse_delivery",
    "parse_json",
    "parse_search",
    "parse_template",
    "parse_trace",
    "parse_tracking",
    "short",
]

Parser = Callable[[int, dict[str, Any]], Outcome | None]

_MAX_REASON: Final = 300
_MAX_WORDS: Final = 4096
_MAX_PLACES: Final = 20
_MAX_CONTAINERS: Final = 500_000
_MAX_RETRY_AFTER: Final = 64
_LONGEST_RETRY_AFTER: Final = 3600.0


def parse_delivery(status: int, body: dict[str, Any]) -> Outcome | None:
    """Parse the response of ``POST /spans-bulk``: ``Delivered`` with the request ids by span id."""
    if status not in {200, 201} or body.get("success") is not True:
        return None
    ids = _ids(body.get("request_logs"), "id")
    rejected = body.get("rejected_span_ids")
    closed = (
        frozenset(span for span in rejected if isinstance(span, str)) if isinstance(rejected, list) else frozenset()
    )
    return Delivered({span: request_id for span, request_id in ids.items() if request_id is not None}, closed)


def parse_tracking(status: int, body: dict[str, Any]) -> Outcome | None:
    """Parse the response of ``POST /rest/track-...``: ``Delivered`` or ``Refused``."""
    if status == 200 and body.get("success") is True:
        return Delivered({})
    # A 404 with PromptLayer's JSON concerns the request, the prompt or the group. Any other 404 concerns the URL.
    if status in {200, 404} and body.get("success") is False:
        return Refused(f"{status} {_message(body)}".strip())
    return None


def parse_template(status: int, body: dict[str, Any]) -> Outcome | None:
    """Parse the response of ``GET /prompt-templates/{name}``: ``Fetched`` or ``Missing``."""
    if status == 200 and isinstance(body.get("prompt_template"), dict):
        return Fetched(body)
    if status == 404 and body.get("success") is False:
        return Missing(_message(body))
    return None


def list_parser(name: str) -> Parser:
    """A parser of responses that have a list under the key ``name``."""

    def parse(status: int, body: dict[str, Any]) -> Outcome | None:
        if status == 200 and isinstance(body.get(name), list):
            return Fetched(body)
        return Missing(_message(body)) if status == 404 and body.get("success") is False else None

    return parse


def parse_trace(status: int, body: dict[str, Any]) -> Outcome | None:
    """Parse the response of ``GET /api/public/v2/traces/{trace_id}``: ``Missing``, or ``Found`` with request ids.

    The ids are by span id; None for a span without a log.
    """
    # A 404 without PromptLayer's JSON may be a proxy's, which does not know the trace.
    if status == 404 and body.get("success") is False:
        return Missing(_message(body))
    if status == 200 and body.get("success") is True and isinstance(body.get("spans"), list):
        return Found(_ids(body["spans"], "request_log_id"))
    return None


def parse_search(status: int, body: dict[str, Any]) -> Outcome | None:
    """Parse the response of ``POST /api/public/v2/requests/search``: ``Found`` with the request ids by record id."""
    items = body.get("items")
    if status != 200 or not isinstance(items, list):
        return None
    found: dict[str, int | None] = {}
    for item in items:
        # Of two logs of one record the first one counts.
        for record_id, request_id in _record_ids(item):
            found[record_id] = min(found.get(record_id) or request_id, request_id)
    return Found(found)


def _record_ids(item: Any) -> Iterator[tuple[str, int]]:
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


def failure(
    status: int,
    retry_after: str | None,
    body: dict[str, Any] | None,
    note: str = "(a response that is not PromptLayer's JSON)",
) -> Outcome:
    """The outcome of a response that is not the expected one.

    Args:
        status: the HTTP status.
        retry_after: the value of the ``Retry-After`` header.
        body: the JSON object of the response; None if it holds none.
        note: the reason of a response without a body.
    """
    outcome, reason = outcome_of_status(status), f"{status} {note if body is None else _message(body)}".strip()
    if outcome is Throttled:
        return Throttled(reason, _seconds(retry_after))
    return Refused(reason, foreign=body is None) if outcome is Refused else outcome(reason)


def parse_json(content: bytes) -> dict[str, Any] | None:
    """The JSON object in a response body; None if the body is anything else.

    A body of millions of lists or objects is not parsed: parsing it would stop all threads of the program for seconds.
    """
    if content.count(b"[") + content.count(b"{") > _MAX_CONTAINERS:
        return None
    try:
        parsed = orjson.loads(content.removeprefix(codecs.BOM_UTF8))
    except orjson.JSONDecodeError:
        return None
    return parsed if isinstance(parsed, dict) else None


def one_line(value: object) -> str:
    """The beginning of a text on one line. Its secrets are replaced before :func:`short` cuts it."""
    return " ".join(_text(value)[:_MAX_WORDS].split())


def short(words: str) -> str:
    """A reason to be stored with a record: 300 characters at most, and characters that do not print are escaped."""
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape", "surrogatepass").decode("ascii")
        for each in words[:_MAX_REASON]
    )[:_MAX_REASON]


def _text(value: object) -> str:
    if not isinstance(value, (dict, list)):
        return str(value)
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # nested too deep
        return f"({type(value).__name__})"


def _message(body: dict[str, Any]) -> str:
    """PromptLayer's error text: ``message`` or ``error``, or the first ``detail`` of a validation."""
    detail = body.get("detail")
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        place = detail[0].get("loc")
        where = ".".join(_text(part)[:_MAX_WORDS] for part in place[:_MAX_PLACES]) if isinstance(place, list) else ""
        return one_line(f"{where}: {_text(detail[0].get('msg'))}")
    found = body.get("message") or body.get("error") or detail or ""
    # Some servers have an object with the message and a code.
    inner = found.get("message") or found.get("error") if isinstance(found, dict) else None
    return one_line(inner if isinstance(inner, str) else found)


def _seconds(retry_after: str | None) -> float | None:
    """The seconds of a ``Retry-After`` header in either form (RFC 9110, 10.2.3): from 0 to 3,600."""
    if retry_after is None or len(retry_after) > _MAX_RETRY_AFTER:
        return None
    try:
        seconds = float(retry_after)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(retry_after) - datetime.now(timezone.utc)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER) if math.isfinite(seconds) else None
