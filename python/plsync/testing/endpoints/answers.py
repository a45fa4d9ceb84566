"""Requests and answers of the stand-in, and PromptLayer's forms of an error."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import orjson
from pydantic import ValidationError

__all__ = ["Answer", "Asked", "Refused", "failure", "invalid", "ok", "parse"]

_NONE: Mapping[str, str] = MappingProxyType({})
_MOST_PROBLEMS = 50


class Asked(NamedTuple):
    """A request: ``headers`` by lower-case name, the bytes of the ``body``, the ``query``, what the path names."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    query: Mapping[str, str]
    identifier: str = ""


class Answer(NamedTuple):
    """An answer: JSON unless ``headers`` say otherwise."""

    status: int
    body: bytes
    headers: Mapping[str, str] = _NONE


class Refused(Exception):
    """A request that ends here, with this answer."""

    def __init__(self, answer: Answer) -> None:
        """``answer``: what the client is told."""
        super().__init__(answer.status)
        self.answer = answer


def ok(body: Any, status: int = 200) -> Answer:
    """An answer with this JSON."""
    return Answer(status, orjson.dumps(body))


def failure(status: int, message: str) -> Answer:
    """PromptLayer's ``ErrorResponse``, which carries the text under both of its names."""
    return ok({"success": False, "message": message, "error": message}, status)


def invalid(error: ValidationError) -> Answer:
    """422 with PromptLayer's list of what is wrong with a body."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    return ok({"detail": problems[:_MOST_PROBLEMS]}, 422)


def parse(body: bytes) -> Any:
    """The JSON of a body; None for an empty one. Raises ``Refused`` for what is none."""
    try:
        return orjson.loads(body) if body else None
    except orjson.JSONDecodeError:
        raise Refused(failure(400, "The body is not JSON")) from None
