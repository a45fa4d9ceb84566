"""Finds the HTTP status and the HTTP response behind an exception.

Each client has its own attributes for them, and some clients raise another exception around the one that has them.
Reading an attribute may run a property of the client, which may raise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from plsync._common.attributes import attribute_or_none

__all__ = ["response_of", "status_of"]

# The most causes that are searched. A program may chain exceptions in a circle.
_MAX_CAUSES: Final = 8
_STATUS: Final = (
    *("status_code", "http_status", "http_status_code", "status", "code", "http_code"),
    *("statusCode", "httpStatus", "httpStatusCode"),
)
_STATUS_IN_RESPONSE: Final = ("status_code", "status", "code", "statusCode")
# The response, or the error in the body that the client has parsed.
_RESPONSES: Final = ("response", "raw_response", "http_response", "error", "body")
_REQUEST_ID: Final = ("request_id", "_request_id", "requestId", "RequestId", "trace_id")
_REQUEST_ID_HEADERS: Final = (
    "x-request-id",
    "request-id",
    "x-amzn-requestid",
    "x-ms-request-id",
    "apim-request-id",
    "cf-ray",
)


def status_of(error: BaseException) -> int | None:
    """The HTTP status of an exception, else of the exception that caused it. None without one.

    >>> class Busy(Exception):
    ...     code = 429
    >>> status_of(Busy())
    429
    """
    for cause in _causes(error):
        for name in _STATUS:
            if (status := _status(attribute_or_none(cause, name), error_code=name in {"code", "status"})) is not None:
                return status
        for name in _RESPONSES:
            if (status := _status_of_response(attribute_or_none(cause, name))) is not None:
                return status
    return None


def response_of(error: BaseException) -> dict[str, Any] | None:
    """The status and the request id of the HTTP response behind an exception. None without a response.

    A response of boto is a dict, and comes with its headers and its body. OpenAI's and Anthropic's exceptions have the
    body of an error that comes in a stream.
    """
    for cause in _causes(error):
        response = attribute_or_none(cause, "response")
        found = _boto(response) if isinstance(response, Mapping) else {}
        if not found and isinstance(body := attribute_or_none(cause, "body"), dict):
            found["body"] = body
        if (request_id := found.get("request_id") or _request_id(cause, response)) is not None:
            found["request_id"] = request_id
        if found:
            status = found.get("status_code") or status_of(cause)
            return {**found, "status_code": status} if status is not None else found
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        if cause is None:
            return
        yield cause
        # Not `__context__`: the program may raise a `ValueError` while it handles a provider's error.
        cause = cause.__cause__


def _item(owner: Any, name: str) -> Any:
    try:
        return owner.get(name)
    except Exception:  # a mapping of the program
        return None


def _status(value: Any, *, error_code: bool = False) -> int | None:
    """The value as a status. A ``code`` may be any number of the client, so it counts only as an error's status."""
    if isinstance(value, str) and value.isdecimal() and len(value) == 3:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return int(value) if not error_code or 400 <= value <= 599 else None


def _status_of_response(response: Any) -> int | None:
    read = _item if isinstance(response, Mapping) else attribute_or_none
    if isinstance(response, Mapping) and (status := _boto(response).get("status_code")) is not None:
        return int(status)
    statuses = (_status(read(response, name), error_code=True) for name in _STATUS_IN_RESPONSE)
    return next((status for status in statuses if status is not None), None)


def _boto(response: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a response of boto: ``{"Error": {...}, "ResponseMetadata": {"HTTPStatusCode": 429, ...}}``."""
    try:
        metadata = response.get("ResponseMetadata")
        if not isinstance(metadata, Mapping):
            return {}
        found = {
            "body": response.get("Error"),
            "headers": metadata.get("HTTPHeaders"),
            "status_code": _status(metadata.get("HTTPStatusCode")),
            "request_id": metadata.get("RequestId"),
        }
    except Exception:  # a mapping of the program
        return {}
    return {key: value for key, value in found.items() if value is not None}


def _request_id(error: BaseException, response: Any) -> str | None:
    own = (attribute_or_none(error, name) for name in _REQUEST_ID)
    if (found := next((value for value in own if isinstance(value, str) and value), None)) is not None:
        return found
    headers = attribute_or_none(response, "headers")
    try:
        listed = (headers.get(name) for name in _REQUEST_ID_HEADERS) if headers is not None else ()
        found = next((value for value in listed if isinstance(value, str) and value), None)
    except Exception:  # headers of an unknown class
        return None
    body = attribute_or_none(error, "body")
    in_body = body.get("request_id") if found is None and isinstance(body, dict) else found
    return in_body if isinstance(in_body, str) and in_body else None
