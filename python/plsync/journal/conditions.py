"""Conditions of a query that the store cannot check by itself, because they need more than its indexes have.

For each condition the store narrows the search: it returns every record that may pass, and few others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final, Protocol

import orjson

from plsync.journal.events import facts
from plsync.journal.record import Record, State

__all__ = [
    "Condition",
    "Delivered",
    "Metadata",
    "ModelPattern",
    "Scalar",
    "Slower",
    "Thread",
    "is_pattern",
    "lane_of_thread",
    "thread_of",
]

Scalar = str | int | float | bool | None

# LangSmith and LangGraph name a conversation by one of these keys. The first of them decides the lane of a record.
_THREAD_KEYS: Final = ("thread_id", "session_id", "conversation_id")
_LANES: Final = 255
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII)
# A double writes all digits of an integer with at most this many.
_EXACT_DIGITS: Final = 15
_LONGEST_NUMBER: Final = 400
_CONSTANTS: Final = {"true": True, "false": False, "null": None, "none": None}


class Condition(Protocol):
    """A condition, checked after the conditions of the store."""

    def passes(self, record: Record) -> bool:
        """Whether the record meets it."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """One of these states, each with whether the quota must have removed the content; None: it does not matter."""

    states: frozenset[tuple[State, bool | None]]

    def passes(self, record: Record) -> bool:
        """Whether the record meets it."""
        return (record.state, None) in self.states or (record.state, record.pruned or record.forgotten) in self.states


@dataclass(frozen=True, slots=True)
class ModelPattern:
    """A model whose name matches a pattern of a shell: ``gpt-4*``."""

    pattern: str

    def matches(self, name: str) -> bool:
        """Whether a name of a model matches."""
        return fnmatchcase(name, self.pattern)

    def passes(self, record: Record) -> bool:
        """Whether the record meets it."""
        return any(self.matches(facts.short_model(name)) for name in facts.labels(record.metadata, record.params))


@dataclass(frozen=True, slots=True)
class Thread:
    """The conversation with this id."""

    thread: str

    def passes(self, record: Record) -> bool:
        """Whether the record meets it."""
        return thread_of(record.metadata) == self.thread


@dataclass(frozen=True, slots=True)
class Metadata:
    """A value in the metadata of the call. Texts, numbers, true, false and null compare by their text."""

    key: str
    value: str

    @classmethod
    def of(cls, key: str, value: Scalar) -> Metadata:
        """The condition for a value of Python, or for its text on a command line."""
        return cls(key, value if isinstance(value, str) else orjson.dumps(value).decode())

    def texts(self) -> list[str]:
        """The texts that the start of every matching call contains."""
        is_number = _NUMBER.fullmatch(self.value) is not None
        is_spelled_once = not is_number or (self.value.isdecimal() and len(self.value) <= _EXACT_DIGITS)
        is_literal = is_spelled_once and self.value.lower() not in _CONSTANTS
        return [self.key, self.value] if is_literal and self.value else [self.key]

    def passes(self, record: Record) -> bool:
        """Whether the record meets it."""
        metadata = record.metadata
        return self.key in metadata and _is_same(metadata[self.key], self.value)


@dataclass(frozen=True, slots=True)
class Slower:
    """A call that took longer than this."""

    ns: int

    def passes(self, record: Record) -> bool:
        """Whether the record meets it."""
        return record.duration_ns is not None and record.duration_ns > self.ns


def is_pattern(name: str) -> bool:
    """Whether the name of a model is a pattern."""
    return any(character in name for character in "*?[")


def thread_of(metadata: Mapping[str, Any]) -> str | None:
    """The id of the conversation, as text; None for a call without one."""
    values = (metadata.get(key) for key in _THREAD_KEYS)
    return next((_text(value) for value in values if value is not None), None)


def lane_of_thread(thread: str) -> int:
    """The lane of a conversation (docs/reference/format.md)."""
    number = 0x811C9DC5
    for byte in thread.encode("utf-8", "surrogatepass"):
        number = ((number ^ byte) * 0x01000193) & 0xFFFFFFFF
    return number % _LANES + 1


def _is_same(stored: object, wanted: str) -> bool:
    if stored is None or isinstance(stored, bool):
        return wanted.lower() in _CONSTANTS and _CONSTANTS[wanted.lower()] is stored
    if isinstance(stored, int | float):
        return len(wanted) <= _LONGEST_NUMBER and _NUMBER.fullmatch(wanted) is not None and _number(wanted) == stored
    return isinstance(stored, str) and stored == wanted


def _number(text: str) -> int | float:
    return int(text) if text.lstrip("-").isdecimal() else float(text)


def _text(value: object) -> str:
    return value if isinstance(value, str) else str(value)
