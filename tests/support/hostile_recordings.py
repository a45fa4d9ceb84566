"""The hostile corpus: values and lines of recordings that a merge, an editor or an attacker made.

``VALUES`` is a dict from a short name, the id of the parametrised test, to tagged JSON in place of any value of a
response. ``GADGETS`` is a program's module with classes whose code must not run. ``mutated`` changes a line by a seed.
"""

from __future__ import annotations

import json
import random
from typing import Any

__all__ = ["GADGETS", "GADGET_VALUES", "VALUES", "mutated", "paths", "replaced"]


def _nested(levels: int, make: str = "[") -> Any:
    text = "[" * levels + "]" * levels if make == "[" else '{"a":' * levels + "1" + "}" * levels
    return json.loads(text)


VALUES: dict[str, Any] = {
    "null": None,
    "number": 7,
    "text": "text",
    "list": [],
    "object": {},
    "huge number": 10**400,
    "unknown tag": {"$": "unknown", "v": 1},
    "tag that is no text": {"$": ["int"], "v": 1},
    "int of 6000 digits": {"$": "int", "v": "9" * 6000},
    "malformed int": {"$": "int", "v": "nine"},
    "int without a value": {"$": "int"},
    "malformed float": {"$": "float", "v": "seven"},
    "not a number": {"$": "float", "v": "nan"},
    "malformed date": {"$": "date", "v": "2026-13-45"},
    "date of a number": {"$": "date", "v": 20260101},
    "malformed datetime": {"$": "datetime", "v": "yesterday"},
    "datetime in a file": {"$": "datetime", "v": "2026-01-01T00:00:00+00:00", "tz": "../../../etc/passwd"},
    "malformed time": {"$": "time", "v": "25:61"},
    "endless timedelta": {"$": "timedelta", "v": [10**30, 0, 0]},
    "timedelta of texts": {"$": "timedelta", "v": ["a"]},
    "malformed uuid": {"$": "uuid", "v": "g" * 32},
    "malformed decimal": {"$": "decimal", "v": "1e"},
    "bytes that are none": {"$": "bytes", "v": "a"},
    "bytes of a list": {"$": "bytes", "v": [1]},
    "surrogate": {"$": "str", "v": "7aCA"},
    "text of no bytes": {"$": "str", "v": "/w=="},
    "set of lists": {"$": "set", "v": [[1]]},
    "set of a number": {"$": "set", "v": 5},
    "pairs of one": {"$": "dict", "v": [[1]]},
    "pairs that are none": {"$": "dict", "v": "ab"},
    "blob outside": {"$": "blob", "v": "../../../etc/passwd"},
    "blob that is missing": {"$": "blob", "v": "sha256-" + "0" * 64},
    "blob of a number": {"$": "blob", "v": 5},
    "message without fields": {"$": "AIMessage"},
    "message of a list": {"$": "AIMessage", "v": [1]},
    "message of numbers": {"$": "AIMessage", "v": {"content": 5, "tool_calls": 6, "id": 7}},
    "message with extras of a list": {"$": "AIMessage", "v": {"content": "a"}, "x": [1]},
    "message in a message": {"$": "AIMessage", "v": {"content": {"$": "AIMessage", "v": {"content": "a"}}}},
    "base message": {"$": "BaseMessage", "v": {"content": "a"}},
    "generation without a message": {"$": "ChatGeneration", "v": {}},
    "generation of a text": {"$": "ChatGeneration", "v": {"message": "text"}},
    "generation of another model": {"$": "Generation", "v": {"text": "a"}},
    "generation of a number": {"$": "Generation", "v": {"text": 5}},
    "class that is no path": {"$": "as", "c": 5, "v": {}},
    "class that is a module": {"$": "as", "c": "os:", "v": {}},
    "class that is a function": {"$": "as", "c": "os:system", "v": "id"},
    "built-in class": {"$": "as", "c": "builtins:dict", "v": {"a": 1}},
    "abstract class": {"$": "as", "c": "collections.abc:Mapping", "v": {}},
    "200 lists": _nested(200),
    "900 lists": _nested(900),
    "900 objects": _nested(900, "{"),
    "error of a text": {"error": "text"},
}
"""Tagged JSON. A response with such a value is restored, or refused with the file and the line."""

GADGETS = """
import abc, dataclasses, enum
from typing import Any
import pydantic

RAN = []

@dataclasses.dataclass
class Deleter:
    path: str = ""
    def __del__(self):
        RAN.append(("__del__", self.path))

@dataclasses.dataclass
class Setter:
    plain: str = ""
    @property
    def size(self):
        return 0
    @size.setter
    def size(self, value):
        RAN.append(("setter", value))

class Owned:
    def __get__(self, owner, kind=None):
        return self if owner is None else 0
    def __set__(self, owner, value):
        RAN.append(("descriptor", value))

@dataclasses.dataclass
class Field:
    size: Any = Owned()

@dataclasses.dataclass
class Attributes:
    path: str = ""
    def __setattr__(self, name, value):
        RAN.append(("__setattr__", value))
    def __getattribute__(self, name):
        RAN.append(("__getattribute__", name))
        return object.__getattribute__(self, name)

class Meta(type):
    def __getattribute__(cls, name):
        if name not in ("__class__", "__mro__", "__name__", "__module__", "__qualname__", "__dict__"):
            RAN.append(("metaclass", name))
        return super().__getattribute__(name)
    def __instancecheck__(cls, other):
        RAN.append(("__instancecheck__", cls))
        return True
    def __subclasscheck__(cls, other):
        RAN.append(("__subclasscheck__", cls))
        return True

class WithMeta(metaclass=Meta):
    pass

class Abstract(abc.ABC):
    @abc.abstractmethod
    def run(self): ...

@dataclasses.dataclass
class AbstractData(Abstract):
    path: str = ""

@dataclasses.dataclass
class InDict(dict):
    path: str = ""

class Model(pydantic.BaseModel):
    path: str = ""
    @pydantic.field_validator("path")
    def check(cls, value):
        RAN.append(("validator", value))
        return value
    def model_post_init(self, context):
        RAN.append(("post_init", self.path))
    def __setattr__(self, name, value):
        RAN.append(("__setattr__", value))
    def __del__(self):
        RAN.append(("__del__", self.path))

class Kinds(enum.Enum):
    ONE = "one"
    @classmethod
    def _missing_(cls, value):
        RAN.append(("_missing_", value))

class ErrorBase(Exception):
    def __init_subclass__(cls, **kwargs):
        RAN.append(("__init_subclass__", cls.__name__))

class OwnError(ErrorBase):
    def __init__(self, *args):
        RAN.append(("__init__", args))
    def __new__(cls, *args):
        RAN.append(("__new__", args))
        return super().__new__(cls, *args)
    def __str__(self):
        RAN.append(("__str__", self.args))
        return "text"
    @property
    def args(self):
        return ()
    @args.setter
    def args(self, value):
        RAN.append(("args", value))
    @property
    def command(self):
        return ""
    @command.setter
    def command(self, value):
        RAN.append(("command", value))

class DeletedError(Exception):
    def __del__(self):
        RAN.append(("__del__", vars(self)))

class MetaError(Exception, metaclass=Meta):
    pass

@dataclasses.dataclass
class Speaks:
    path: str = ""
    def __str__(self):
        RAN.append(("__str__", self.path))
        return "x"
    __repr__ = __str__
    def __hash__(self):
        RAN.append(("__hash__", self.path))
        return 1
    def __eq__(self, other):
        RAN.append(("__eq__", self.path))
        return True

RAN.clear()
"""
"""The source of the module ``gadgets``. ``RAN`` lists the code that ran."""

_CLASSES = ("Deleter", "Setter", "Field", "Attributes", "WithMeta", "AbstractData", "InDict", "Model", "Speaks")

GADGET_VALUES: dict[str, Any] = {
    **{
        f"{name} {sorted(fields)}": {"$": "as", "c": f"gadgets:{name}", "v": fields}
        for name in _CLASSES
        for fields in ({}, {"path": "/etc/passwd"}, {"size": 5}, {"__class__": 5}, {"plain": "a", "other": 1})
    },
    "enum": {"$": "as", "c": "gadgets:Kinds", "v": "two"},
    **{
        f"error {name}": {
            "class": f"gadgets:{name}",
            "bases": [f"gadgets:{base}" for base in ("OwnError", "ErrorBase", "DeletedError", "MetaError")],
            "message": "rm -rf",
            "args": ["rm -rf"],
            "attributes": {"command": "rm -rf", "args": 5, "__class__": 5},
        }
        for name in ("OwnError", "DeletedError", "MetaError", "Missing")
    },
    "error with an argument": {
        "class": "builtins:ValueError",
        "message": "x",
        "args": [{"$": "as", "c": "gadgets:Speaks", "v": {"path": "a"}}],
    },
}
"""Values that name the classes of ``GADGETS``; those named ``error`` are descriptions of exceptions."""


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path to each value inside of parsed JSON."""
    found = [at]
    if isinstance(value, dict):
        for key, item in value.items():
            found += paths(item, (*at, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += paths(item, (*at, index))
    return found


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """A copy of parsed JSON with another value at a path."""
    if not path:
        return new
    copied = dict(value) if isinstance(value, dict) else list(value)
    copied[path[0]] = replaced(value[path[0]], path[1:], new)
    return copied


def mutated(line: dict[str, Any], seed: int) -> str:
    """A line of a recording, changed by a seed: other values at some paths, or other bytes."""
    choose = random.Random(seed)  # noqa: S311 - repeatable
    for _ in range(choose.choice((1, 1, 2, 4))):
        path = choose.choice(paths(line)[1:])
        new = choose.choice([value for name, value in VALUES.items() if not name.startswith("900")])
        if choose.random() < 0.2:
            new = choose.choice((1e300, -1, 0, True, "", "\x1b[31m", {"$": choose.choice(("as", "dict", "AIMessage"))}))
        line = replaced(line, path, new)
        if choose.random() < 0.1 and len(paths(line)) < 2:
            break
    text = json.dumps(line)
    if choose.random() < 0.2:
        at = choose.randrange(len(text))
        text = text[:at] + choose.choice(('"', "{", "]", "\\ud800", "NaN", "", "\x00", '"a":1,"a":2,')) + text[at + 1 :]
    return text.replace("\n", " ")
