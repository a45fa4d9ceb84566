"""Recorded values as objects again, those of the program's own classes among them.

A recording may name classes: of pydantic models that a provider put into a message, of messages derived from
LangChain's. Only classes this process has imported itself are used, and only their fields are set: no constructor, no
validator and nothing else of what a file names is ever called.
"""

from __future__ import annotations

import dataclasses
import enum
import sys
from typing import Any

from plsync.codec import MESSAGES, OUTPUTS, TAG, rebuild

__all__ = ["approximate", "imported_class", "restore"]

_UNSET: Any = object()


def restore(value: Any) -> Any:
    """Objects from unpacked tagged JSON. What cannot be had exactly comes in its approximate form."""
    return rebuild(_restored(value))


def imported_class(path: object) -> type | None:
    """The class at ``module:Qualified.Name``, if this process has imported it; nothing is imported."""
    module_name, _, name = path.partition(":") if isinstance(path, str) else ("", "", "")
    found: Any = sys.modules.get(module_name)
    for part in name.split("."):
        # Past __getattr__ of modules and metaclasses, which may run code.
        space = getattr(found, "__dict__", None)
        found = space.get(part) if space is not None else None
    return found if isinstance(found, type) else None


def approximate(value: Any) -> str | None:
    """The class of the first object in tagged JSON that ``restore`` would not give back exactly, if there is one."""
    if isinstance(value, list):
        return next(filter(None, map(approximate, value)), None)
    if not isinstance(value, dict):
        return None
    if value.get(TAG) == "repr" or (value.get(TAG) == "as" and isinstance(_restored(value), dict)):
        return str(value.get("c"))
    return next(filter(None, map(approximate, value.values())), None)


def _restored(value: Any) -> Any:
    if isinstance(value, list):
        return [_restored(item) for item in value]
    if not isinstance(value, dict):
        return value
    tag = value.get(TAG)
    if tag == "as" and (cls := imported_class(value.get("c"))) is not None:
        made = _instance(cls, _restored(value.get("v")))
        return value | {"v": _restored(value.get("v"))} if made is _UNSET else made
    if tag in MESSAGES or tag in OUTPUTS:
        return {**value, "v": _in_order(tag, {key: _restored(item) for key, item in (value.get("v") or {}).items()})}
    return {key: _restored(item) for key, item in value.items()}


def _in_order(tag: str, fields: dict[str, Any]) -> dict[str, Any]:
    """The fields as this version of LangChain has them: in its order, new ones with their default."""
    from langchain_core import messages, outputs  # noqa: PLC0415 - heavy, and only replaying needs it

    cls = getattr(messages if tag in MESSAGES else outputs, tag)
    ordered = {}
    for name, about in cls.model_fields.items():
        if name in fields:
            ordered[name] = fields[name]
        elif not about.is_required():
            ordered[name] = about.get_default(call_default_factory=True)
    return ordered | {name: item for name, item in fields.items() if name not in ordered}


def _instance(cls: type, fields: Any) -> Any:
    """An object of ``cls`` with these fields, or ``_UNSET`` when that needs more than setting them."""
    if issubclass(cls, enum.Enum):
        members = cls._value2member_map_
        return members.get(fields, _UNSET) if isinstance(fields, (str, int, float)) else _UNSET
    if not isinstance(fields, dict):
        return _UNSET
    extras: dict[str, Any] = {}
    if fields.get(TAG) in MESSAGES | OUTPUTS:  # a message of the program's own class
        extras = fields.get("x") or {}
        fields = fields.get("v") or {}
    if hasattr(cls, "__pydantic_fields__"):
        return _pydantic(cls, rebuild(fields), rebuild(extras))
    if dataclasses.is_dataclass(cls):
        made = object.__new__(cls)
        for name, item in rebuild(fields).items():
            object.__setattr__(made, name, item)
        return made
    return _UNSET


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
