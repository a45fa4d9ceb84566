"""Responses of the API: JSON of any value, lines of JSON, and errors."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any, Final

import orjson
from starlette.requests import Request
from starlette.responses import Response

from plsync._common.large_json import dumps
from plsync._common.logged import loggable
from plsync.errors import (
    AmbiguousId,
    ConfigError,
    InvalidFollowUp,
    JournalError,
    PromptError,
    RecordNotFound,
    ReplayError,
)

__all__ = ["HANDLERS", "ApiError", "answer", "as_json", "error", "line"]

_log: Final = logging.getLogger(__name__)


class ApiError(Exception):
    """A request that the API refuses."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


def as_json(value: Any) -> bytes:
    """A value as JSON. Surrogates without a partner become escapes, and numbers that JSON lacks become null."""
    try:
        return dumps(value, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # a lone surrogate, or an integer beyond 64 bits
        return json.dumps(value, separators=(",", ":"), default=str).encode()


def line(value: Any) -> bytes:
    """A value as one line of NDJSON."""
    return as_json(value) + b"\n"


def answer(value: Any, status: int = 200) -> Response:
    """A response of JSON."""
    return Response(as_json(value), status, media_type="application/json")


def error(status: int, code: str, message: str, **more: Any) -> Response:
    """A response for a failure, with a message for people."""
    return answer({"error": {"code": code, "message": message, **more}}, status)


def _refused(_request: Request, found: Exception) -> Response:
    assert isinstance(found, ApiError)  # noqa: S101 - for mypy
    return error(found.status, found.code, str(found))


def _failed(_request: Request, found: Exception) -> Response:
    if isinstance(found, AmbiguousId):
        return error(409, "ambiguous", str(found), candidates=[record.id for record in found.candidates.values()])
    if isinstance(found, RecordNotFound):
        return error(404, "not_found", str(found))
    if isinstance(found, InvalidFollowUp | ValueError):
        return error(400, "invalid", str(found))
    if isinstance(found, JournalError):
        return error(503, "journal", str(found))
    return error(500, "failed", str(found))


def _unexpected(_request: Request, found: Exception) -> Response:
    # Without the message, which may hold content.
    _log.error("unexpected error in the page: %s", loggable(found))
    return error(500, "unexpected", f"an unexpected {type(found).__name__}; the terminal of `plsync ui` shows it")


def _http(_request: Request, found: Exception) -> Response:
    status = getattr(found, "status_code", 500)
    codes: Mapping[int, str] = {404: "not_found", 405: "method_not_allowed"}
    return error(status, codes.get(status, "bad_request"), str(getattr(found, "detail", "")))


HANDLERS: Final[dict[Any, Any]] = {
    ApiError: _refused,
    **dict.fromkeys(
        (AmbiguousId, ConfigError, JournalError, PromptError, RecordNotFound, ReplayError, ValueError), _failed
    ),
    404: _http,
    405: _http,
    Exception: _unexpected,
}
"""The response for each kind of exception."""
