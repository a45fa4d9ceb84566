"""The tagged JSON of ``docs/events.md``, read back: as objects (``decode``) or as plain values (``plain``).

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

from plsync._native import encode

__all__ = ["MESSAGES", "OUTPUTS", "TAG", "decode", "encode", "plain", "rebuild"]

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
    if isinstance(value, list):
        return [rebuild(item) for item in value]
    if not isinstance(value, dict):
        return value
    tag = value.get(TAG)
    if tag is None:
        return {key: rebuild(item) for key, item in value.items()}
    if tag in MESSAGES or tag in OUTPUTS:
        return _rebuild_model(tag, value.get("v") or {}, value.get("x"))
    if tag in {"datetime", "time"}:
        return _rebuild_moment(tag, value["v"], value.get("tz"))
    build = _REBUILD.get(tag)
    return {key: rebuild(item) for key, item in value.items()} if build is None else build(value["v"])


def _rebuild_model(tag: str, fields: dict[str, Any], extras: dict[str, Any] | None) -> Any:
    model = _model_class(tag).model_construct()
    own, more = rebuild(fields), rebuild(extras or {})
    # Past pydantic's own __setattr__: the fields are restored as they were, also those a validator would change.
    object.__setattr__(model, "__dict__", own)
    object.__setattr__(model, "__pydantic_fields_set__", own.keys() | more.keys())
    if more:
        object.__setattr__(model, "__pydantic_extra__", more)
    return model


@functools.cache
def _model_class(tag: str) -> Any:
    from langchain_core import messages, outputs  # noqa: PLC0415  (heavy, and only decoding needs them)

    return getattr(messages if tag in MESSAGES else outputs, tag)


def _rebuild_moment(tag: str, text: str, zone: str | None) -> dt.datetime | dt.time:
    moment: dt.datetime | dt.time = (dt.datetime if tag == "datetime" else dt.time).fromisoformat(text)
    if zone is None or not _ZONE.fullmatch(zone):
        return moment
    import zoneinfo  # noqa: PLC0415

    try:
        named = moment.replace(tzinfo=zoneinfo.ZoneInfo(zone))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return moment  # this machine does not know the zone: the offset in the text still holds
    if moment.tzinfo is not None and named.utcoffset() != moment.utcoffset():
        return named.replace(fold=1)
    return named


def _rebuild_pairs(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    result: dict[Any, Any] = {}
    for key, item in pairs:
        rebuilt = rebuild(key)
        try:
            result[rebuilt] = rebuild(item)
        except TypeError:  # the key was only kept approximately, and its approximation is not hashable
            result[str(rebuilt)] = rebuild(item)
    return result


def _rebuild_set(kind: type[set[Any]] | type[frozenset[Any]], items: Iterable[Any]) -> Any:
    members = [rebuild(item) for item in items]
    try:
        return kind(members)
    except TypeError:  # as above: an approximation that is not hashable
        return members


_REBUILD: Mapping[str, Callable[[Any], Any]] = {
    "as": rebuild,
    "bytearray": lambda text: bytearray(base64.b64decode(text)),
    "bytes": base64.b64decode,
    "date": dt.date.fromisoformat,
    "decimal": decimal.Decimal,
    "dict": _rebuild_pairs,
    "float": float,
    "frozenset": lambda items: _rebuild_set(frozenset, items),
    "int": int,
    "repr": str,
    "set": lambda items: _rebuild_set(set, items),
    "str": _surrogate_str,
    "timedelta": lambda parts: dt.timedelta(*parts),
    "tuple": lambda items: tuple(rebuild(item) for item in items),
    "uuid": uuid.UUID,
}
