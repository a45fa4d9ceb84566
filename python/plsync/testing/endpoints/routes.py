"""Which endpoint answers which path."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from urllib.parse import unquote

from pydantic import ValidationError

from plsync.testing.endpoints.answers import Answer, Asked, Refused, failure, invalid
from plsync.testing.state.workspace import NotFound

__all__ = ["Endpoint", "Route", "Routes"]

Endpoint = Callable[[Asked], Answer]
Route = tuple[str, str, Endpoint]
"""Method, pattern of the path, and what answers it. A group in the pattern becomes ``Asked.identifier``."""


class Routes:
    """Every endpoint the stand-in knows."""

    def __init__(self, routes: Iterable[Route]) -> None:
        """Serve these."""
        self._table = [(method, re.compile(path), endpoint) for method, path, endpoint in routes]

    def answer(self, asked: Asked) -> Answer:
        """Answer one authorised request."""
        methods = set()
        for method, pattern, endpoint in self._table:
            match = pattern.fullmatch(asked.path)
            if match is None:
                continue
            methods.add(method)
            if method == asked.method:
                identifier = unquote(match[1]) if match.groups() else ""
                return _guarded(endpoint, asked._replace(identifier=identifier))
        return failure(405, "Method not allowed") if methods else failure(404, "Not found")


def _guarded(endpoint: Endpoint, asked: Asked) -> Answer:
    try:
        return endpoint(asked)
    except Refused as refused:
        return refused.answer
    except NotFound as error:
        return failure(404, str(error))
    except ValidationError as error:
        return invalid(error)
