"""Restores objects from a recording, also objects of the program's own classes.

A recording may name classes: pydantic models that a provider put into a message, or subclasses of LangChain's messages.
Only two sources of classes are used: modules that this process has imported, and classes that the call requested.
Restoring sets fields and calls no constructor, no validator and no other code that a file names.
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
from plsync.replay.response.packing import BLOB, REQUIRED, default_value, message_text

__all__ = ["Restorer", "first_inexact", "imported_class"]

_UNSET: Any = object()


class Restorer(Rebuilder):
    """Restores the objects of a packed response. An object that cannot be restored exactly gets its plain form."""

    def __init__(self, load_blob: Callable[[str], bytes], call_classes: Sequence[type] = ()) -> None:
        """Prepares a restorer.

        Args:
            load_blob: returns the large binary of a name.
            call_classes: classes that the call requested. They need not be importable by their names.
        """
        self._load_blob = load_blob
        self.call_classes = call_classes

    def model(self, tag: str, value: dict[str, Any]) -> Any:
        """A message or an output of the installed LangChain: its order of fields, and defaults for new fields."""
        packed = value.get("v") or {}
        fields: dict[str, Any] = {}
        for name, make_default in _fields(tag):
            if name in packed:
                fields[name] = self(packed[name])
            elif name == "text" and (text := message_text(packed)) is not None:
                fields[name] = text
            elif make_default is not None:
                fields[name] = make_default()
        if len(fields) < len(packed):
            fields |= {name: self(item) for name, item in packed.items() if name not in fields}
        return self.with_fields(tag, fields, self(value.get("x") or {}))

    def other(self, tag: str, value: dict[str, Any]) -> Any:
        """A large binary, or an object of the program's own class if that class is imported."""
        if tag == BLOB and isinstance(value.get("v"), str):
            raw = self._load_blob(value["v"])
            if value.get("as") in ("bytes", "bytearray"):
                return raw if value["as"] == "bytes" else bytearray(raw)
            return str(value.get("before", "")) + base64.b64encode(raw).decode()
        if tag == "as" and (cls := self._class(value.get("c"))) is not None:
            restored = self._instance(cls, value.get("v"))
            if restored is not _UNSET:
                return restored
        return super().other(tag, value)

    def restores(self, value: dict[str, Any]) -> bool:
        """Whether an object of the program's own class comes back as that class; its fields are not checked."""
        cls = self._class(value.get("c"))
        return cls is not None and self._instance(cls, value.get("v")) is not _UNSET

    def _class(self, path: object) -> type | None:
        return imported_class(path) or (_class_by_name(path, self.call_classes) if self.call_classes else None)

    def _instance(self, cls: type, fields: Any) -> Any:
        """An object of ``cls`` with these fields, or ``_UNSET`` if setting fields is not enough."""
        if issubclass(cls, enum.Enum):
            members = cls._value2member_map_
            return members.get(fields, _UNSET) if isinstance(fields, (str, int, float)) else _UNSET
        if not isinstance(fields, dict):
            return _UNSET
        if hasattr(cls, "__pydantic_fields__"):
            if fields.get(TAG) in MESSAGES | OUTPUTS:  # a message of the program's own class
                message = self(fields)
                return _pydantic_object(cls, message.__dict__, message.__pydantic_extra__ or {})
            return _pydantic_object(cls, self(fields), {})
        if dataclasses.is_dataclass(cls):
            restored = object.__new__(cls)
            for name, item in self(fields).items():
                object.__setattr__(restored, name, item)
            return restored
        return _UNSET


def imported_class(path: object) -> type | None:
    """The class at ``module:Qualified.Name`` if this process has imported its module; nothing is imported.

    >>> imported_class("builtins:dict")
    <class 'dict'>
    """
    module_name, _, name = path.partition(":") if isinstance(path, str) else ("", "", "")
    found: Any = sys.modules.get(module_name)
    for part in name.split("."):
        # Not getattr: __getattr__ of a module or metaclass may run code.
        space = getattr(found, "__dict__", None)
        found = space.get(part) if space is not None else None
    return found if isinstance(found, type) else None


def _class_by_name(path: object, classes: Sequence[type]) -> type | None:
    """The class of this name among ``classes`` and the types of their fields: for classes made in a function."""
    name = str(path).rpartition(":")[2].rpartition(".")[2]
    queue: list[Any] = list(classes)
    visited: set[Any] = set()
    while queue:
        current = queue.pop()
        if current in visited:
            continue
        visited.add(current)
        if isinstance(current, type) and current.__name__ == name:
            return current
        queue += typing.get_args(current)
        queue += [field.annotation for field in getattr(current, "__pydantic_fields__", {}).values()]
    return None


def first_inexact(value: Any, call_classes: Sequence[type] = ()) -> str | None:
    """The class of the first object in tagged JSON that would not be restored exactly; ``None`` if all would.

    Args:
        value: tagged JSON.
        call_classes: classes that the call requested, as for ``Restorer``.
    """
    return _first_inexact(value, Restorer(lambda _: b"", call_classes))


def _first_inexact(value: Any, restorer: Restorer) -> str | None:
    if isinstance(value, list):
        return next((found for item in value if (found := _first_inexact(item, restorer))), None)
    if not isinstance(value, dict):
        return None
    tag = value.get(TAG)
    if tag == "repr" or (tag == "as" and not restorer.restores(value)):
        return str(value.get("c"))
    return _first_inexact(list(value.values()), restorer)


@functools.cache
def _fields(tag: str) -> tuple[tuple[str, Callable[[], Any] | None], ...]:
    """The fields of a class in order, each with the function that makes its default; ``None`` for a required field."""
    return tuple((name, _make_default(tag, name, about)) for name, about in model_class(tag)[0].model_fields.items())


def _make_default(tag: str, name: str, about: Any) -> Callable[[], Any] | None:
    default = default_value(tag, name)
    if default is not REQUIRED:
        return type(default) if isinstance(default, (dict, list)) else lambda: default
    # The installed langchain-core has a field that did not exist when the call was recorded.
    return None if about.is_required() else lambda: about.get_default(call_default_factory=True)


def _pydantic_object(cls: Any, fields: dict[str, Any], extras: dict[str, Any]) -> Any:
    own = {name: item for name, item in fields.items() if name in cls.__pydantic_fields__}
    more = {**{name: item for name, item in fields.items() if name not in own}, **extras}
    private = {name: about.get_default() for name, about in cls.__private_attributes__.items()}
    restored = object.__new__(cls)
    for name, item in (
        ("__dict__", own),
        ("__pydantic_fields_set__", own.keys() | more.keys()),
        ("__pydantic_extra__", more if cls.model_config.get("extra") == "allow" else None),
        ("__pydantic_private__", private or None),
    ):
        object.__setattr__(restored, name, item)
    return restored
