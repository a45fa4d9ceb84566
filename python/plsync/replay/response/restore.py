"""Restores objects from a recording, also objects of the program's own classes.

A recording may name classes: pydantic models that a provider put into a message, or subclasses of LangChain's messages.
Only two sources of classes are used: modules that this process has imported, and classes that the call requested.
Restoring sets declared fields. It calls no constructor, no validator, no property and no ``__setattr__``. An object of
a class with a ``__del__`` comes back in its plain form. Only the default factories of private attributes are called.

A class that the call itself requested is an exception: it validates the text of the message again, as the provider's
SDK does. The program named the class, and the recording supplies only the text.
"""

from __future__ import annotations

import base64
import enum
import functools
import sys
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from plsync.journal.events.tagged import MESSAGES, OUTPUTS, TAG, Rebuilder, model_class
from plsync.replay.response.packing import BLOB, REQUIRED, default_value, message_text
from plsync.replay.response.vectors import VECTOR_TAGS, unpack_vector

__all__ = ["RefusedText", "Restorer", "UnknownTag", "first_inexact", "imported_class"]

_UNSET: Any = object()
_PARSED_IN = frozenset({"AIMessage", "AIMessageChunk"})
# Tags whose values come back in their plain form.
_PLAIN_TAGS = frozenset({"as", "class"})


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
        if tag in _PARSED_IN and self.call_classes:
            return self._model(tag, *_without_parsed(value, packed, self.call_classes))
        return self._model(tag, value, packed, _UNSET)

    def _model(self, tag: str, value: dict[str, Any], packed: dict[str, Any], parsed: Any) -> Any:
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
        if parsed is not _UNSET:
            fields["additional_kwargs"]["parsed"] = parsed
        return self.with_fields(tag, fields, self(value.get("x") or {}))

    def other(self, tag: str, value: dict[str, Any]) -> Any:
        """A large binary, a vector, or an object of the program's own class if that class is imported."""
        if tag == BLOB and isinstance(value.get("v"), str):
            raw = self._load_blob(value["v"])
            if value.get("as") in ("bytes", "bytearray"):
                return raw if value["as"] == "bytes" else bytearray(raw)
            return str(value.get("before", "")) + base64.b64encode(raw).decode()
        if tag in VECTOR_TAGS:
            return unpack_vector(value, self)
        if tag == "as" and (cls := self._class(value.get("c"))) is not None:
            restored = self._instance(cls, value.get("v"))
            if restored is not _UNSET:
                return restored
        if isinstance(tag, str) and tag not in _PLAIN_TAGS:
            raise UnknownTag(tag)
        return super().other(tag, value)

    def restores(self, value: dict[str, Any]) -> bool:
        """Whether an object of the program's own class comes back as that class; its fields are not checked."""
        cls = self._class(value.get("c"))
        return cls is not None and self._instance(cls, value.get("v")) is not _UNSET

    def _class(self, path: object) -> type | None:
        return imported_class(path) or (_class_by_name(path, self.call_classes) if self.call_classes else None)

    def _instance(self, cls: type, fields: Any) -> Any:
        """An object of ``cls`` with these fields, or ``_UNSET`` if setting fields is not enough."""
        bases = class_mro(cls)
        if enum.Enum in bases:
            members = static_attribute(cls, "_value2member_map_") or {}
            return members.get(fields, _UNSET) if isinstance(fields, (str, int, float)) else _UNSET
        if not isinstance(fields, dict) or static_attribute(cls, "__del__") is not None:
            return _UNSET
        try:
            if _base_model() not in bases:
                return _dataclass_object(cls, self(fields))
            extras: dict[str, Any] = {}
            own = self(fields)
            inner = fields.get(TAG)
            if isinstance(inner, str) and inner in MESSAGES | OUTPUTS:  # a message of the program's own class
                own, extras = own.__dict__, own.__pydantic_extra__ or {}
            return _pydantic_object(cls, own, extras)
        except _Inexact:
            return _UNSET


def _without_parsed(
    value: dict[str, Any], packed: dict[str, Any], classes: Sequence[type]
) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """A message without its parsed object, and the object that a requested class makes of the message's text.

    Raises:
        RefusedText: the class refuses the text.
    """
    extra = packed.get("additional_kwargs")
    recorded = extra.get("parsed") if isinstance(extra, dict) else None
    if not isinstance(recorded, dict) or recorded.get(TAG) != "as":
        return value, packed, _UNSET
    name = str(recorded.get("c")).rpartition(":")[2].rpartition(".")[2]
    cls = next((cls for cls in classes if cls.__name__ == name), None)
    text = _text_of(packed.get("content"))
    if cls is None or not _is_json(text):  # the last chunk of a stream has no text
        return value, packed, _UNSET
    from pydantic import TypeAdapter  # noqa: PLC0415 - only a recording of such objects needs it

    try:
        parsed: Any = TypeAdapter(cls).validate_json(text)
    except Exception as error:  # a validator of the program may raise anything
        raise RefusedText(error) from error
    others = {key: item for key, item in (extra or {}).items() if key != "parsed"}
    return value, {**packed, "additional_kwargs": others}, parsed


def _text_of(content: Any) -> str:
    blocks = content if isinstance(content, list) else [content]
    texts = (block.get("text") if isinstance(block, dict) else block for block in blocks)
    return "".join(text for text in texts if isinstance(text, str))


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


class RefusedText(Exception):
    """A class that the call requested refuses the recorded text, as it would in a live call."""

    def __init__(self, error: Exception) -> None:
        """Keeps the exception of the class."""
        super().__init__(str(error))
        self.error = error


class UnknownTag(Exception):
    """A value has a tag that this plsync or the installed LangChain does not know."""

    def __init__(self, tag: str) -> None:
        """Keeps the tag."""
        super().__init__(tag)
        self.tag = tag


class _Inexact(Exception):
    """Fields alone do not make an object of this class."""


def class_mro(cls: type) -> tuple[type, ...]:
    """The bases of a class. Its metaclass is not called."""
    mro: tuple[type, ...] = type.__dict__["__mro__"].__get__(cls)
    return mro


def static_attribute(cls: type, name: str) -> Any:
    """An attribute of a class or of its bases, as stored; ``None`` without one. No code of the class is called.

    >>> static_attribute(bool, "__del__") is None
    True
    """
    spaces = (type.__dict__["__dict__"].__get__(base) for base in class_mro(cls))
    return next((space[name] for space in spaces if name in space), None)


@functools.cache
def _base_model() -> type:
    from pydantic import BaseModel  # noqa: PLC0415 - only a recording of such objects needs it

    return BaseModel


def _new(cls: Any) -> Any:
    try:
        return object.__new__(cls)
    except TypeError as error:  # an abstract class, or a subclass of another built-in class
        raise _Inexact from error


def _dataclass_object(cls: type, fields: Any) -> Any:
    declared = static_attribute(cls, "__dataclass_fields__")
    if not isinstance(declared, dict) or not isinstance(fields, dict) or not fields.keys() <= declared.keys():
        raise _Inexact
    slots = {name: static_attribute(cls, name) for name in fields}
    # A property or another descriptor would run its own code.
    if any(hasattr(type(slot), "__set__") and type(slot) is not types.MemberDescriptorType for slot in slots.values()):
        raise _Inexact
    restored = _new(cls)
    for name, item in fields.items():
        object.__setattr__(restored, name, item)
    return restored


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
    try:
        cls = model_class(tag)[0]
    except AttributeError as error:  # the installed langchain-core lacks the class
        raise UnknownTag(tag) from error
    return tuple((name, _make_default(tag, name, about)) for name, about in cls.model_fields.items())


def _make_default(tag: str, name: str, about: Any) -> Callable[[], Any] | None:
    default = default_value(tag, name)
    if default is not REQUIRED:
        return type(default) if isinstance(default, (dict, list)) else lambda: default
    # The installed langchain-core has a field that did not exist when the call was recorded.
    return None if about.is_required() else lambda: about.get_default(call_default_factory=True)


def _pydantic_object(cls: Any, fields: Any, extras: dict[str, Any]) -> Any:
    if not isinstance(fields, dict):
        raise _Inexact
    own = {name: item for name, item in fields.items() if name in cls.__pydantic_fields__}
    more = {**{name: item for name, item in fields.items() if name not in own}, **extras}
    private = {name: about.get_default() for name, about in cls.__private_attributes__.items()}
    restored = _new(cls)
    for name, item in (
        ("__dict__", own),
        ("__pydantic_fields_set__", own.keys() | more.keys()),
        ("__pydantic_extra__", more if cls.model_config.get("extra") == "allow" else None),
        ("__pydantic_private__", private or None),
    ):
        object.__setattr__(restored, name, item)
    return restored
