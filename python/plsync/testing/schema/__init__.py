"""The request bodies that PromptLayer accepts, typed as strictly as its OpenAPI file describes them."""

from __future__ import annotations

from functools import cache
from typing import Any

try:
    from pydantic import TypeAdapter, ValidationError
except ImportError as error:
    raise ImportError(
        "plsync.testing needs pydantic, which langchain-core brings; nothing was started: "
        "install it with pip install 'pydantic>=2.7,<3'"
    ) from error

from plsync.testing.schema import bodies

__all__ = ["ValidationError", "check"]


def check(name: str, body: Any) -> Any:
    """Validate a request body.

    Args:
        name: the name of a type in :mod:`plsync.testing.schema.bodies`.
        body: the parsed JSON.

    Returns:
        ``body``, unchanged.

    Raises:
        ValidationError: ``body`` is not of that type.

    >>> check("TrackGroup", {"request_id": 1, "group_id": 2, "more": 3})
    {'request_id': 1, 'group_id': 2, 'more': 3}
    """
    _validator(name).validate_python(body)
    return body


@cache
def _validator(name: str) -> TypeAdapter[Any]:
    return TypeAdapter(getattr(bodies, name))
