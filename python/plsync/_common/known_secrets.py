"""The keys and passwords that a program holds: in a model, in its HTTP clients, and in a request that failed.

A server may repeat them in an error or an answer. ``redact_secrets`` replaces them there. The search calls no code of
the program but the methods of its mappings, and reads a bounded number of objects.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Mapping
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType, TracebackType
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

from plsync._common.attributes import attribute_or_none
from plsync._common.redaction import is_credential_name, redact_secrets

__all__ = ["redact_values", "secrets_in", "secrets_in_error"]

_MOST_OBJECTS: Final = 3000
_MOST_FRAMES: Final = 60
_MOST_CAUSES: Final = 5
_MOST_ITEMS: Final = 500
_DEEPEST: Final = 7
# A shorter value is a placeholder for servers without a key, and may be an ordinary word.
_SHORTEST: Final = 12
_SHORTEST_WITH_DIGITS: Final = 8
_LONGEST: Final = 20_000
_LEAVES: Final = (ModuleType, FunctionType, MethodType, BuiltinFunctionType, type, int, float, bytes, bytearray)
# Packages whose objects are large and hold no credentials of a client.
_UNSEARCHED: Final = frozenset(
    {"asyncio", "concurrent", "jinja2", "llama_cpp", "logging", "numpy", "pandas", "ssl", "tokenizers", "torch"}
    | {"threading", "transformers", "weakref"}
)


def secrets_in(*values: Any) -> tuple[str, ...]:
    """The keys and passwords in models, settings, HTTP clients and requests, longest first.

    >>> secrets_in({"extra_headers": {"X-Api-Key": "0123-4567-89ab"}, "temperature": 0})
    ('0123-4567-89ab',)
    """
    found: set[str] = set()
    seen: set[int] = set()
    # The nearest objects come first: the number of objects is limited.
    queue: deque[tuple[Any, bool, int]] = deque((value, False, 0) for value in values)
    kept = []  # keeps temporary objects, because their ids must not repeat
    while queue and len(seen) < _MOST_OBJECTS:
        value, is_secret, depth = queue.popleft()
        if isinstance(value, str):
            _add_text(value, is_secret, found)
            continue
        if is_secret and isinstance(value, (bytes, bytearray)):
            _add_text(value.decode("latin-1"), True, found)
        if value is None or isinstance(value, _LEAVES) or depth > _DEEPEST or id(value) in seen:
            continue
        seen.add(id(value))
        kept.append(value)
        with contextlib.suppress(Exception):  # raised by an object of the program
            queue.extend((item, is_secret or is_credential_name(name), depth + 1) for name, item in _parts(value))
    return tuple(sorted((text for text in found if _is_long(text)), key=len, reverse=True))


def secrets_in_error(error: BaseException) -> tuple[str, ...]:
    """The keys and passwords that a failed call used: in the request of its errors, and in the model that they passed.

    Args:
        error: the exception of a call, with the request that an HTTP client attached, and with its traceback.
    """
    values: list[Any] = []
    at: BaseException | None = error
    for _ in range(_MOST_CAUSES):
        if at is None:
            break
        values.extend(_requests(at))
        values.extend(_models(at.__traceback__))
        at = at.__cause__ or at.__context__
    return secrets_in(*values)


def redact_values(value: Any, secrets: tuple[str, ...]) -> Any:
    """JSON in which every secret is replaced; ``value`` itself without a secret in it."""
    if isinstance(value, str):
        return redact_secrets(value, secrets)
    if isinstance(value, Mapping):
        return {redact_values(key, secrets): redact_values(item, secrets) for key, item in value.items()}
    return [redact_values(item, secrets) for item in value] if isinstance(value, list) else value


def _requests(error: BaseException) -> Iterator[Any]:
    """The HTTP requests of an exception of httpx, of requests, of aiohttp and of the clients built on them."""
    response = attribute_or_none(error, "response")
    for holder in (error, response):
        for name in ("request", "request_info"):
            request = attribute_or_none(holder, name)
            if request is not None:
                yield attribute_or_none(request, "headers")
                yield str(attribute_or_none(request, "url") or "")


def _models(traceback: TracebackType | None) -> Iterator[Any]:
    """The models whose methods raised, and the settings of their call."""
    for _ in range(_MOST_FRAMES):
        if traceback is None:
            return
        variables = traceback.tb_frame.f_locals
        model = variables.get("self")
        if any(base.__name__ == "BaseLanguageModel" for base in type(model).__mro__):
            yield model
            yield variables.get("kwargs")
        traceback = traceback.tb_next


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    """The names and values in an object; items of a list have no name."""
    kind = type(value)
    if kind.__name__ == "SecretStr" and kind.__module__.startswith("pydantic"):
        yield "secret", value.get_secret_value()
        return
    if isinstance(value, Mapping):
        for number, (name, item) in enumerate(value.items()):
            if number >= _MOST_ITEMS:
                return
            yield name, item
        return
    if isinstance(value, (list, tuple, set, frozenset)):
        for number, item in enumerate(value):
            if number >= _MOST_ITEMS:
                return
            is_pair = isinstance(item, (list, tuple)) and len(item) == 2
            yield (item[0], item[1]) if is_pair else ("", item)
        return
    if kind.__name__ == "URL":
        yield "", str(value)
    if kind.__module__.partition(".")[0] not in _UNSEARCHED:
        fields = getattr(value, "__dict__", None)
        yield from (fields or {}).items()
        for extra in ("__pydantic_extra__", "__pydantic_private__"):
            yield from (getattr(value, extra, None) or {}).items()


def _add_text(text: str, is_secret: bool, found: set[str]) -> None:
    if len(text) > _LONGEST:
        return
    scheme, _, credential = text.partition(" ")
    if is_secret:
        # A header puts a scheme in front of its key, and an error may repeat the key alone.
        found.update((text, text.rpartition(" ")[2]))
    elif scheme.lower() in {"bearer", "basic"}:
        found.add(credential)
    if "://" in text:
        try:
            url = urlsplit(text)
            found.update(filter(None, (url.password, unquote(url.password or ""))))
            found.update(item for name, item in parse_qsl(url.query) if is_credential_name(name))
        except ValueError:  # no URL
            return


def _is_long(text: str) -> bool:
    has_digit = any(letter.isdigit() for letter in text)
    return len(text) >= (_SHORTEST_WITH_DIGITS if has_digit else _SHORTEST)
