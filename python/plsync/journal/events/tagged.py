"""The tagged JSON of ``docs/reference/events.md``, read back: as objects (``decode``) or as plain values (``plain``).

``plain`` needs nothing of LangChain, so programs that only look at a journal stay light. ``decode`` builds objects of
a fixed list of langchain_core classes; nothing a journal names is ever imported or called.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import decimal
import functools
import math
import re
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from plsync._common.native import encode, untagged

__all__ = [
    "MESSAGES",
    "OUTPUTS",
    "TAG",
    "Rebuilder",
    "decode",
    "encode",
    "model_class",
    "plain",
    "read_plain",
    "rebuild",
]

TAG = "$"
# Handlers write 200 levels at most; orjson, which has to write it again, 254.
_MAX_DEPTH = 240

MESSAGES = frozenset(
    {
        "AIMessage",
        "AIMessageChunk",
        "BaseMessage",
        "BaseMessageChunk",
        "ChatMessage",
        "ChatMessageChunk",
        "FunctionMessage",
        "FunctionMessageChunk",
        "HumanMessage",
        "HumanMessageChunk",
        "RemoveMessage",
        "SystemMessage",
        "SystemMessageChunk",
        "ToolMessage",
        "ToolMessageChunk",
    }
)
OUTPUTS = frozenset(
    {"ChatGeneration", "ChatGenerationChunk", "ChatResult", "Generation", "GenerationChunk", "LLMResult", "RunInfo"}
)

_PLAIN_ALREADY = frozenset({str, int, bool, type(None)})

_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")


def plain(value: Any, depth: int = 0) -> Any:
    """Values any JSON writer takes, from parsed tagged JSON; never raises, whatever the JSON holds.

    Messages and generations become the dict of their fields, bytes stay base64 text, tuples and sets become lists, a
    timedelta its seconds, NaN and infinities ``None``, integers beyond 64 bits their decimal text. What only looks like
    a tagged value becomes its ``v``; what is nested deeper than a handler writes is left out. ``value`` is taken over:
    lists and dicts in it are changed where they are.

    >>> plain({"$": "HumanMessage", "v": {"content": "hi", "score": {"$": "float", "v": "nan"}}})
    {'content': 'hi', 'score': None}
    """
    if depth > _MAX_DEPTH:
        return None
    # Most values are plain as they are, or empty, and passed over without a call: this is much of the cost of reading a
    # record.
    if isinstance(value, dict):
        tag = value.get(TAG)
        if isinstance(tag, str):
            return _plain_tagged(tag, value, depth + 1)
        for key, item in value.items():
            if type(item) not in _PLAIN_ALREADY and item:
                value[key] = plain(item, depth + 1)
        return value
    if isinstance(value, list):
        for index, item in enumerate(value):
            if type(item) not in _PLAIN_ALREADY and item:
                value[index] = plain(item, depth + 1)
        return value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_plain(data: bytes) -> Any:
    """What ``plain`` gives for this JSON. Raises ``orjson.JSONDecodeError`` (a ``ValueError``) when it is none.

    >>> read_plain(b'{"$":"HumanMessage","v":{"content":"hi"}}')
    {'content': 'hi'}
    """
    # Most events hold no tags but those that can be left out before the JSON is parsed.
    without_tags = untagged(data)
    return plain(orjson.loads(data)) if without_tags is None else orjson.loads(without_tags)


def _plain_tagged(tag: str, value: dict[str, Any], depth: int) -> Any:
    inner = value.get("v")
    if tag in MESSAGES or tag in OUTPUTS:
        own = plain(inner, depth)
        fields: dict[str, Any] = own if isinstance(own, dict) else {}
        extras = plain(value["x"], depth) if "x" in value else None
        return {**fields, **extras} if isinstance(extras, dict) else fields
    if tag == "dict" and isinstance(inner, list):
        return _plain_pairs(inner, depth)
    special = _PLAIN.get(tag)
    if special is not None:
        # Values that are none of our writing may be anything: Journal.append takes any bytes.
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            return special(inner)
    return plain(inner, depth)


def _plain_pairs(pairs: list[Any], depth: int) -> dict[str, Any]:
    whole = (pair for pair in pairs if isinstance(pair, list) and len(pair) == 2)
    return {key if isinstance(key, str) else str(plain(key, depth)): plain(item, depth) for key, item in whole}


def _plain_str(text: str) -> str:
    return _surrogate_str(text).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _surrogate_str(text: str) -> str:
    return base64.b64decode(text).decode("utf-8", "surrogatepass")


_PLAIN: Mapping[str, Callable[[Any], Any]] = {
    "float": lambda _: None,
    "str": _plain_str,
    "timedelta": lambda parts: dt.timedelta(*parts).total_seconds(),
}


def decode(data: bytes) -> Any:
    """The objects that were encoded: messages and generations of langchain_core, and values JSON lacks.

    A value kept only approximately (tags ``as`` and ``repr``) comes back in its approximate form. Raises
    ``orjson.JSONDecodeError`` (a ``ValueError``) when ``data`` is not JSON.
    """
    return rebuild(orjson.loads(data))


def rebuild(value: Any) -> Any:
    """Objects from tagged JSON that is already parsed; see ``decode``."""
    return _rebuild(value)


class Rebuilder:
    """Makes objects of parsed tagged JSON. Recordings, which know more than the tags of a journal, derive from it."""

    def __call__(self, value: Any) -> Any:
        """The objects; what is JSON already stays."""
        if isinstance(value, list):
            return [self(item) for item in value]
        if not isinstance(value, dict):
            return value
        tag = value.get(TAG)
        if tag is None:
            return {key: self(item) for key, item in value.items()}
        if tag in MESSAGES or tag in OUTPUTS:
            return self.model(tag, value)
        build = _REBUILD.get(tag)
        return self.other(tag, value) if build is None else build(self, value)

    def model(self, tag: str, value: dict[str, Any]) -> Any:
        """A message or an output of langchain_core."""
        return self.with_fields(tag, self(value.get("v") or {}), self(value.get("x") or {}))

    def other(self, tag: str, value: dict[str, Any]) -> Any:
        """What is kept only approximately, in its approximate form; and what only looks like a tagged value."""
        return self(value["v"]) if tag == "as" else {key: self(item) for key, item in value.items()}

    @staticmethod
    def with_fields(tag: str, fields: dict[str, Any], extras: dict[str, Any]) -> Any:
        """An object of this class with just these fields."""
        cls, allows_extras = model_class(tag)
        # Past pydantic's own __setattr__: the fields are restored as they were, also those a validator would change.
        # And past model_construct, which works out defaults nobody needs, for a hundred times as long.
        model = object.__new__(cls)
        object.__setattr__(model, "__dict__", fields)
        object.__setattr__(model, "__pydantic_fields_set__", fields.keys() | extras.keys())
        object.__setattr__(model, "__pydantic_extra__", extras or ({} if allows_extras else None))
        object.__setattr__(model, "__pydantic_private__", None)
        return model


@functools.cache
def model_class(tag: str) -> tuple[Any, bool]:
    """The class, and whether it takes more than its fields."""
    from langchain_core import messages, outputs  # noqa: PLC0415  (heavy, and only decoding needs them)

    cls = getattr(messages if tag in MESSAGES else outputs, tag)
    return cls, cls.model_config.get("extra") == "allow"


def _rebuild_moment(kind: type[dt.datetime] | type[dt.time], value: dict[str, Any]) -> dt.datetime | dt.time:
    moment: dt.datetime | dt.time = kind.fromisoformat(value["v"])
    zone = value.get("tz")
    if not isinstance(zone, str) or not _ZONE.fullmatch(zone):
        return moment
    import zoneinfo  # noqa: PLC0415

    try:
        named = moment.replace(tzinfo=zoneinfo.ZoneInfo(zone))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return moment  # this machine does not know the zone: the offset in the text still holds
    if moment.tzinfo is not None and named.utcoffset() != moment.utcoffset():
        return named.replace(fold=1)
    return named


def _rebuild_pairs(rebuild: Rebuilder, pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    for key, item in pairs:
        rebuilt = rebuild(key)
        try:
            result[rebuilt] = rebuild(item)
        except TypeError:  # the key was only kept approximately, and its approximation is not hashable
            result[str(rebuilt)] = rebuild(item)
    return result


def _rebuild_set(kind: type[set[Any]] | type[frozenset[Any]], members: list[Any]) -> Any:
    try:
        return kind(members)
    except TypeError:  # as above: an approximation that is not hashable
        return members


_REBUILD: Mapping[str, Callable[[Rebuilder, dict[str, Any]], Any]] = {
    "bytearray": lambda _, value: bytearray(base64.b64decode(value["v"])),
    "bytes": lambda _, value: base64.b64decode(value["v"]),
    "date": lambda _, value: dt.date.fromisoformat(value["v"]),
    "datetime": lambda _, value: _rebuild_moment(dt.datetime, value),
    "decimal": lambda _, value: decimal.Decimal(value["v"]),
    "dict": lambda rebuild, value: _rebuild_pairs(rebuild, value["v"]),
    "float": lambda _, value: float(value["v"]),
    "frozenset": lambda rebuild, value: _rebuild_set(frozenset, [rebuild(item) for item in value["v"]]),
    "int": lambda _, value: int(value["v"]),
    "repr": lambda _, value: str(value["v"]),
    "set": lambda rebuild, value: _rebuild_set(set, [rebuild(item) for item in value["v"]]),
    "str": lambda _, value: _surrogate_str(value["v"]),
    "time": lambda _, value: _rebuild_moment(dt.time, value),
    "timedelta": lambda _, value: dt.timedelta(*value["v"]),
    "tuple": lambda rebuild, value: tuple(rebuild(item) for item in value["v"]),
    "uuid": lambda _, value: uuid.UUID(value["v"]),
}

_rebuild = Rebuilder()
