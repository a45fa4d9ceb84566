"""What PromptLayer takes, in types of our own, as strictly as its OpenAPI file describes them."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import TypeAdapter

from plsync.testing.schema import bodies

__all__ = ["check"]


def check(name: str, body: Any) -> Any:
    """The body, if it is one of this type of ``bodies``; raises pydantic's ``ValidationError`` if it is not.

    >>> check("TrackGroup", {"request_id": 1, "group_id": 2, "more": 3})
    {'request_id': 1, 'group_id': 2, 'more': 3}
    """
    _validator(name).validate_python(body)
    return body


@cache
def _validator(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(getattr(bodies, name))
