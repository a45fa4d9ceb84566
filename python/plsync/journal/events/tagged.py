"""Decodes the tagged JSON of ``docs/reference/events.md``: to objects (``decode``) or to plain values (``to_plain``).

``to_plain`` does not import LangChain, so a program that only reads a journal stays small. ``decode`` makes objects of
a fixed list of langchain_core classes. It never imports or calls a name out of a journal.
"""

from __future__ import annotations

import ast
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

from plsync._common.large_json import loads
from plsync._common.native import encode, untagged

__all__ = [
    "MESSAGES",
    "OUTPUTS",
    "TAG",
    "Rebuilder",
    "decode",
    "decode_plain",
    "encode",
    "model_class",
    "rebuild",
    "to_plain",
]

TAG = "$"
# Handlers write at most 200 levels. orjson, which writes the values again, takes 254.
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

# ``np.int64(5)``, ``np.True_``, ``PosixPath('a.txt')``
_REPR = re.compile(r"(?:np\.)?(?:\w+\()?(.+?)_?\)?")
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*")


def to_plain(value: Any, depth: int = 0) -> Any:
    """Plain JSON values of parsed tagged JSON. Never raises.

    A message or a generation becomes the dict of its fields. A tuple or a set becomes a list, a timedelta its seconds.
    NaN and infinities become ``None``, integers beyond 64 bits their decimal text. Bytes stay base64 text. An unknown
    tag yields its ``v``. Deeper levels than a handler writes are left out.

    Args:
        value: the parsed JSON. Its lists and dicts are changed in place.
        depth: the level of ``value`` in the whole.

    >>> to_plain({"$": "HumanMessage", "v": {"content": "hi", "score": {"$": "float", "v": "nan"}}})
    {'content': 'hi', 'score': None}
    """
    if depth > _MAX_DEPTH:
        return None
    # Most values are plain already, or empty. The loops skip them without a call: one call per value would be much of
    # the cost of reading a record.
    if isinstance(value, dict):
        tag = value.get(TAG)
        if isinstance(tag, str):
            return _plain_tagged(tag, value, depth + 1)
        for key, item in value.items():
            if type(item) not in _PLAIN_ALREADY and item:
                value[key] = to_plain(item, depth + 1)
        return value
    if isinstance(value, list):
        for index, item in enumerate(value):
            if type(item) not in _PLAIN_ALREADY and item:
                value[index] = to_plain(item, depth + 1)
        return value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def decode_plain(data: bytes) -> Any:
    """Plain JSON values of tagged JSON, as :func:`to_plain` returns them.

    Raises:
        orjson.JSONDecodeError: ``data`` is not JSON. Also a ValueError.

    >>> decode_plain(b'{"$":"HumanMessage","v":{"content":"hi"}}')
    {'content': 'hi'}
    """
    # Most events have only tags that can be removed before the JSON is parsed.
    without_tags = untagged(data)
    return to_plain(loads(data)) if without_tags is None else loads(without_tags)


def _plain_tagged(tag: str, value: dict[str, Any], depth: int) -> Any:
    inner = value.get("v")
    if tag in MESSAGES or tag in OUTPUTS:
        own = to_plain(inner, depth)
        fields: dict[str, Any] = own if isinstance(own, dict) else {}
        extras = to_plain(value["x"], depth) if "x" in value else None
        return {**fields, **extras} if isinstance(extras, dict) else fields
    if tag == "dict" and isinstance(inner, list):
        return _plain_pairs(inner, depth)
    if tag == "repr" and isinstance(inner, str):
        return _plain_repr(inner, str(value.get("c")))
    special = _PLAIN.get(tag)
    if special is not None:
        # Journal.append takes any bytes, so a value may have any shape.
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            return special(inner)
    return to_plain(inner, depth)


def _plain_pairs(pairs: list[Any], depth: int) -> dict[str, Any]:
    whole = (pair for pair in pairs if isinstance(pair, list) and len(pair) == 2)
    return {key if isinstance(key, str) else str(to_plain(key, depth)): to_plain(item, depth) for key, item in whole}


def _plain_repr(text: str, kind: str) -> Any:
    """The number or the path in a repr of numpy or pathlib. Journals of earlier versions hold these reprs."""
    found = _REPR.fullmatch(text) if kind.startswith(("numpy:", "pathlib")) else None
    if found is None:
        return text
    with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
        plain = ast.literal_eval(found[1])
        return to_plain(plain) if isinstance(plain, (str, int, float)) else text
    return text


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
    """The objects of tagged JSON: messages and generations of langchain_core, and values that JSON lacks.

    A value without an exact form (tags ``as`` and ``repr``) comes back in its plain form, a class as its JSON schema.

    Raises:
        orjson.JSONDecodeError: ``data`` is not JSON. Also a ValueError.

    >>> decode(b'[{"$":"uuid","v":"0199a3b2-c4d5-7e6f-8a9b-0c1d2e3f4a5b"}]')
    [UUID('0199a3b2-c4d5-7e6f-8a9b-0c1d2e3f4a5b')]
    """
    return rebuild(loads(data))


def rebuild(value: Any) -> Any:
    """The objects of parsed tagged JSON, as :func:`decode` returns them."""
    return _rebuild(value)


class Rebuilder:
    """Makes objects of parsed tagged JSON. Recordings have more tags than a journal, and a subclass for them."""

    def __call__(self, value: Any) -> Any:
        """The objects of ``value``. A JSON value without a tag stays."""
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
        """A value of another tag: the plain form of ``as``, the JSON schema of ``class``, else the dict itself."""
        return self(value["v"]) if tag in ("as", "class") else {key: self(item) for key, item in value.items()}

    @staticmethod
    def with_fields(tag: str, fields: dict[str, Any], extras: dict[str, Any]) -> Any:
        """An object of the class ``tag`` with exactly the given fields."""
        cls, allows_extras = model_class(tag)
        # Not by pydantic's __setattr__: a validator could change a field. Not by model_construct: it takes a hundred
        # times as long, for defaults that are not needed here.
        model = object.__new__(cls)
        object.__setattr__(model, "__dict__", fields)
        object.__setattr__(model, "__pydantic_fields_set__", fields.keys() | extras.keys())
        object.__setattr__(model, "__pydantic_extra__", extras or ({} if allows_extras else None))
        object.__setattr__(model, "__pydantic_private__", None)
        return model


@functools.cache
def model_class(tag: str) -> tuple[Any, bool]:
    """The class of a tag, and whether it allows extra fields."""
    from langchain_core import messages, outputs  # noqa: PLC0415 - slow to import, and only decoding needs them

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
        return moment  # an unknown zone on this machine: the offset in the text is still right
    if moment.tzinfo is not None and named.utcoffset() != moment.utcoffset():
        return named.replace(fold=1)
    return named


def _rebuild_pairs(rebuild: Rebuilder, pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    for key, item in pairs:
        rebuilt = rebuild(key)
        try:
            result[rebuilt] = rebuild(item)
        except TypeError:  # the key was kept only approximately, and its approximate form is not hashable
            result[str(rebuilt)] = rebuild(item)
    return result


def _rebuild_set(kind: type[set[Any]] | type[frozenset[Any]], members: list[Any]) -> Any:
    try:
        return kind(members)
    except TypeError:  # as above
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
