"""Which recorded call answers a request: the key they are found by."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from typing import Any, Final

import orjson

from plsync.replay.request.request import Request

__all__ = ["DEFAULT", "Match", "Matcher", "digest"]

DEFAULT: Final = ("messages", "stop", "tools", "tool_choice", "response_format")
"""The parts that must be alike; the prompt of a text model counts as ``messages``."""

_MORE: Final = ("model", "class", "settings")

Match = Collection[str] | Callable[[dict[str, Any]], Any]
"""Names of the parts that must be alike, or a function from a request to what must be."""


def digest(value: Any) -> str:
    """16 hex digits that stand for a JSON value; the order of keys does not matter."""
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return hashlib.sha256(text).hexdigest()[:16]


class Matcher:
    """Makes keys. Two requests with the same key are answered alike."""

    def __init__(self, match: Match | None = None) -> None:
        """Raises ValueError: a part there is not."""
        self._of: Callable[[dict[str, Any]], Any] | None = None
        self._parts: tuple[str, ...] = DEFAULT
        if callable(match):
            self._of = match
        elif match is not None:
            self._parts = (match,) if isinstance(match, str) else tuple(match)
            unknown = set(self._parts) - {*DEFAULT, *_MORE}
            if unknown:
                raise ValueError(
                    f"no part of a request is called {', '.join(sorted(unknown))}: "
                    f"there are {', '.join((*DEFAULT, *_MORE))}"
                )
        self.is_default = self._of is None and set(self._parts) == set(DEFAULT)

    def key(self, request: Request) -> str:
        """The key of a request.

        Raises:
            TypeError: a ``match`` function returned what JSON cannot hold.
        """
        return digest([request.kind, self._compared(request)])

    def _compared(self, request: Request) -> Any:
        if self._of is not None:
            return self._of(request.as_dict())
        if self.is_default:
            return request.asked
        whole = request.as_dict()
        names = ("prompt" if name == "messages" and request.kind == "llm" else name for name in self._parts)
        return {name: whole.get(name) for name in names}
