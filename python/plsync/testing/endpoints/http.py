"""Requests and responses of the stand-in, and the error bodies that PromptLayer uses."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson

from plsync.testing.schema import ValidationError

__all__ = ["HTTPError", "Request", "Response", "error_response", "json_response", "parse_json", "validation_error"]

_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_MOST_PROBLEMS = 50


class Request(NamedTuple):
    """One HTTP request. The names in ``headers`` are lower case; ``identifier`` is the variable part of the path."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, str]
    identifier: str = ""


class Response(NamedTuple):
    """One HTTP response: JSON unless ``headers`` name another type."""

    status: int
    body: bytes
    headers: Mapping[str, str] = _NO_HEADERS


class HTTPError(Exception):
    """Ends a request with this response."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


def json_response(body: Any, status: int = 200) -> Response:
    """A response with ``body`` as JSON."""
    return Response(status, orjson.dumps(body))


def error_response(status: int, message: str) -> Response:
    """PromptLayer's ``ErrorResponse``, which holds the text under two names."""
    return json_response({"success": False, "message": message, "error": message}, status)


def validation_error(error: ValidationError) -> Response:
    """422 with PromptLayer's list of the problems of a body."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return json_response({"detail": problems[:_MOST_PROBLEMS]}, 422)


def parse_json(body: bytes) -> Any:
    """The JSON of a body; None if the body is empty.

    Raises:
        HTTPError: 400, the body is not JSON.
    """
    try:
        return orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        raise HTTPError(error_response(400, "The body is not JSON")) from None
