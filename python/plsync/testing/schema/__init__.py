"""What PromptLayer takes, in types of our own, as strictly as its OpenAPI file describes them."""

from __future__ import annotations

from functools import cache
from typing import Any

from pydantic import TypeAdapter

from plsync.testing.schema import bodies


@cache
def validator(name: str) -> TypeAdapter[Any]:
    """The validator of one of the types in ``bodies``, made when it is first asked for."""
    return TypeAdapter(getattr(bodies, name))
