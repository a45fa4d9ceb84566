"""Finds the endpoint for a path, and turns its errors into responses."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from urllib.parse import unquote

from plsync.testing.endpoints.http import HTTPError, Request, Response, error_response, validation_error
from plsync.testing.schema import ValidationError
from plsync.testing.state.workspace import NotFound

__all__ = ["Endpoint", "Route", "Routes"]

Endpoint = Callable[[Request], Response]
Route = tuple[str, str, Endpoint]
"""Method, pattern of the path, and endpoint. A group in the pattern becomes ``Request.identifier``."""


class Routes:
    """The table of endpoints."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._table = [(method, re.compile(path), endpoint) for method, path, endpoint in routes]

    def respond(self, request: Request) -> Response:
        """The response to one authorised request."""
        methods = set()
        for method, pattern, endpoint in self._table:
            match = pattern.fullmatch(request.path)
            if match is None:
                continue
            methods.add(method)
            if method == request.method:
                identifier = unquote(match[1]) if match.groups() else ""
                return _respond(endpoint, request._replace(identifier=identifier))
        return error_response(405, "Method not allowed") if methods else error_response(404, "Not found")


def _respond(endpoint: Endpoint, request: Request) -> Response:
    try:
        return endpoint(request)
    except HTTPError as error:
        return error.response
    except NotFound as error:
        return error_response(404, str(error))
    except ValidationError as error:
        return validation_error(error)
