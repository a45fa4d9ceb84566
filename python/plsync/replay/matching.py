"""The key by which a request finds its recorded calls."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any, Final

import orjson

from plsync._common.large_json import dumps
from plsync.replay.request.request import Request, content_key

__all__ = ["DEFAULT_PARTS", "Match", "Matcher", "digest"]

DEFAULT_PARTS: Final = ("messages", "stop", "tools", "tool_choice", "response_format")
"""The parts that must be equal by default. ``messages`` includes a prompt, and the text of an embedding."""

_OPTIONAL_PARTS: Final = ("model", "class", "settings", "model_settings")

Match = Collection[str] | Callable[[dict[str, Any]], Any]
"""Names of the parts that must be equal, or a function from a request to the JSON value that must be equal."""


def digest(value: Any) -> str:
    """16 hex digits of the SHA-256 of a JSON value; the order of its keys does not count."""
    text = dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return hashlib.sha256(text).hexdigest()[:16]


class Matcher:
    """Computes keys: two requests match if their keys are equal."""

    def __init__(self, match: Match | None = None) -> None:
        """Prepares a matcher.

        Args:
            match: see ``Match``; ``None`` for the default parts.

        Raises:
            ValueError: ``match`` has the name of an unknown part.
        """
        self._function: Callable[[dict[str, Any]], Any] | None = None
        self._parts: tuple[str, ...] = DEFAULT_PARTS
        if callable(match):
            self._function = match
        elif match is not None:
            self._parts = (match,) if isinstance(match, str) else tuple(match)
            unknown = set(self._parts) - {*DEFAULT_PARTS, *_OPTIONAL_PARTS}
            if unknown:
                raise ValueError(
                    f"no part of a request is called {', '.join(sorted(unknown))}: "
                    f"there are {', '.join((*DEFAULT_PARTS, *_OPTIONAL_PARTS))}"
                )
        self.is_default = self._function is None and set(self._parts) == set(DEFAULT_PARTS)

    @property
    def compares_model_settings(self) -> bool:
        """Whether the settings that a model is made with must be equal."""
        return self._function is None and "model_settings" in self._parts

    def key(self, request: Request) -> str:
        """The key of a request.

        Raises:
            TypeError: a ``match`` function returned a value that JSON cannot hold.
        """
        value = self._compared_value(request)
        try:
            return digest([request.kind, value])
        except TypeError as error:
            if self._function is None:
                raise
            kind = type(value).__name__
            raise TypeError(
                f"the match function returned a {kind}, which JSON cannot hold ({error}); no model was called: "
                "return texts, numbers, lists and dicts"
            ) from error

    def _compared_value(self, request: Request) -> Any:
        if self._function is not None:
            # Recordings store these settings only if a list names them, so a function never receives them.
            return self._function(replace(request, model_settings={}).as_dict())
        if self.is_default:
            return request.body
        every = request.as_dict()
        content = content_key(request.kind)
        names = (content if name == "messages" else name for name in self._parts)
        return {name: every.get(name) for name in names}
