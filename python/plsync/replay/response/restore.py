"""Recorded values as objects again, those of the program's own classes among them.

A recording may name classes: of pydantic models that a provider put into a message, of messages derived from
LangChain's. Only classes this process has imported itself, or has asked for an answer of, are used, and only their
fields are set: no constructor, no validator and nothing else of what a file names is ever called.
"""

from __future__ import annotations

import base64
import dataclasses
import enum
import functools
import sys
import typing
from collections.abc import Callable, Sequence
from typing import Any

from plsync.journal.events.tagged import MESSAGES, OUTPUTS, TAG, Rebuilder, model_class
from plsync.replay.response.packing import BLOB, REQUIRED, default, text_of

__all__ = ["Restorer", "approximate", "imported_class"]

_UNSET: Any = object()


class Restorer(Rebuilder):
    """Makes objects of a packed answer. What cannot be had exactly comes in its approximate form."""

    def __init__(self, load: Callable[[str], bytes], known: Sequence[type] = ()) -> None:
        """Takes the function that gives a large binary by its name, and classes that cannot be imported by theirs."""
        self._load = load
        self.known = known

    def model(self, tag: str, value: dict[str, Any]) -> Any:
        """A message or an output as this version of LangChain has them: in its order, new fields with their default."""
        packed = value.get("v") or {}
        fields: dict[str, Any] = {}
        for name, missing in _fields(tag):
            if name in packed:
                fields[name] = self(packed[name])
            elif name == "text" and (text := text_of(packed)) is not None:
                fields[name] = text
            elif missing is not None:
                fields[name] = missing()
        if len(fields) < len(packed):
            fields |= {name: self(item) for name, item in packed.items() if name not in fields}
        return self.with_fields(tag, fields, self(value.get("x") or {}))

    def other(self, tag: str, value: dict[str, Any]) -> Any:
        """A large binary, or an object of the program's own class if that is imported."""
        if tag == BLOB and isinstance(value.get("v"), str):
            raw = self._load(value["v"])
            if value.get("as") in ("bytes", "bytearray"):
                return raw if value["as"] == "bytes" else bytearray(raw)
            return str(value.get("before", "")) + base64.b64encode(raw).decode()
        if tag == "as" and (cls := self._class(value.get("c"))) is not None:
            made = self._instance(cls, value.get("v"))
            if made is not _UNSET:
                return made
        return super().other(tag, value)

    def _class(self, path: object) -> type | None:
        return imported_class(path) or (_named(path, self.known) if self.known else None)

    def _instance(self, cls: type, fields: Any) -> Any:
        """An object of ``cls`` with these fields, or ``_UNSET`` when that needs more than setting them."""
        if issubclass(cls, enum.Enum):
            members = cls._value2member_map_
            return members.get(fields, _UNSET) if isinstance(fields, (str, int, float)) else _UNSET
        if not isinstance(fields, dict):
            return _UNSET
        if hasattr(cls, "__pydantic_fields__"):
            if fields.get(TAG) in MESSAGES | OUTPUTS:  # a message of the program's own class
                message = self(fields)
                return _pydantic(cls, message.__dict__, message.__pydantic_extra__ or {})
            return _pydantic(cls, self(fields), {})
        if dataclasses.is_dataclass(cls):
            made = object.__new__(cls)
            for name, item in self(fields).items():
                object.__setattr__(made, name, item)
            return made
        return _UNSET


def imported_class(path: object) -> type | None:
    """The class at ``module:Qualified.Name``, if this process has imported it; nothing is imported."""
    module_name, _, name = path.partition(":") if isinstance(path, str) else ("", "", "")
    found: Any = sys.modules.get(module_name)
    for part in name.split("."):
        # Past __getattr__ of modules and metaclasses, which may run code.
        space = getattr(found, "__dict__", None)
        found = space.get(part) if space is not None else None
    return found if isinstance(found, type) else None


def _named(path: object, known: Sequence[type]) -> type | None:
    """The class of a name among those given and those of their fields: classes made in a function, for instance."""
    name = str(path).rpartition(":")[2].rpartition(".")[2]
    waiting: list[Any] = list(known)
    seen: set[Any] = set()
    while waiting:
        one = waiting.pop()
        if one in seen:
            continue
        seen.add(one)
        if isinstance(one, type) and one.__name__ == name:
            return one
        waiting += typing.get_args(one)
        waiting += [about.annotation for about in getattr(one, "__pydantic_fields__", {}).values()]
    return None


def approximate(value: Any, known: Sequence[type] = ()) -> str | None:
    """The class of the first object in tagged JSON that would not come back exactly, if there is one.

    Args:
        value: tagged JSON.
        known: classes that the answer may be of, as of ``Restorer``.
    """
    if isinstance(value, list):
        return next((found for item in value if (found := approximate(item, known))), None)
    if not isinstance(value, dict):
        return None
    tag = value.get(TAG)
    if tag == "repr" or (tag == "as" and _is_lost(value, known)):
        return str(value.get("c"))
    return approximate(list(value.values()), known)


def _is_lost(value: dict[str, Any], known: Sequence[type]) -> bool:
    restorer = Restorer(lambda _: b"", known)
    cls = restorer._class(value.get("c"))
    # What is in it is looked at by itself.
    return cls is None or restorer._instance(cls, value.get("v")) is _UNSET


@functools.cache
def _fields(tag: str) -> tuple[tuple[str, Callable[[], Any] | None], ...]:
    """The fields of a class in their order, each with what makes the value it has when it is missing."""
    return tuple((name, _missing(tag, name, about)) for name, about in model_class(tag)[0].model_fields.items())


def _missing(tag: str, name: str, about: Any) -> Callable[[], Any] | None:
    known = default(tag, name)
    if known is not REQUIRED:
        return type(known) if isinstance(known, (dict, list)) else lambda: known
    # A field that came with a later langchain-core than the recording's.
    return None if about.is_required() else lambda: about.get_default(call_default_factory=True)


def _pydantic(cls: Any, fields: dict[str, Any], extras: dict[str, Any]) -> Any:
    own = {name: item for name, item in fields.items() if name in cls.__pydantic_fields__}
    more = {**{name: item for name, item in fields.items() if name not in own}, **extras}
    private = {name: about.get_default() for name, about in cls.__private_attributes__.items()}
    made = object.__new__(cls)
    for name, item in (
        ("__dict__", own),
        ("__pydantic_fields_set__", own.keys() | more.keys()),
        ("__pydantic_extra__", more if cls.model_config.get("extra") == "allow" else None),
        ("__pydantic_private__", private or None),
    ):
        object.__setattr__(made, name, item)
    return made
