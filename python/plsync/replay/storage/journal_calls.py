"""Records of a journal as recorded calls."""

from __future__ import annotations

from typing import Any, Final

from plsync.journal.events.tagged import TAG
from plsync.journal.record import Record
from plsync.replay.request.request import request_of_record
from plsync.replay.storage.recorded_call import RecordedCall, line_data

__all__ = ["LOCATION", "call_of_record"]

LOCATION: Final = "record "
"""The location of such a call starts with this; the record's id follows."""

_ABANDONED: Final = "Abandoned"


def call_of_record(record: Record) -> RecordedCall | None:
    """A record as a recorded call; ``None`` if the journal does not hold its whole request and response."""
    start, end = record.events()
    request = request_of_record(start) if not (record.pruned or record.damage) else None
    response = _response(record, end) if request is not None else None
    if request is None or response is None:
        return None
    duration = record.duration_ns
    data = line_data(request, response, [] if duration is None else [duration // 1_000_000])
    return RecordedCall(f"{LOCATION}{record.id}", data)


def _response(record: Record, end: dict[str, Any]) -> dict[str, Any] | None:
    if record.status == "error":
        return _error_response(end)
    generations = end.get("generations")
    if record.status != "ok" or not isinstance(generations, list) or not generations:
        return None
    output = end.get("llm_output")
    return {"generations": generations} | ({} if output is None else {"llm_output": output})


def _error_response(end: dict[str, Any]) -> dict[str, Any] | None:
    """The exception of a failed call, with the attributes that a journal holds."""
    error = end.get("error")
    if not isinstance(error, dict) or error.get("type") in (None, _ABANDONED):
        return None
    attributes: dict[str, Any] = {}
    if error.get("status_code") is not None:
        attributes["status_code"] = error["status_code"]
    http = error.get("response")
    if isinstance(http, dict):
        attributes |= {key: http[key] for key in ("body", "request_id") if key in http}
        headers = http.get("headers")
        if http.keys() - {"body"}:
            attributes["response"] = {
                TAG: "http",
                "c": "Response",
                "status": http.get("status_code") or error.get("status_code") or 500,
                "headers": headers if isinstance(headers, dict) else {},
                "body": None,
            }
    path = f"{error.get('module')}:{error['type']}"
    message = error.get("message") or ""
    return {"error": {"class": path, "message": message, "args": [message], "attributes": attributes}}
