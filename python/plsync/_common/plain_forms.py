"""The plain form of values that belong to libraries: numbers and arrays, paths, tables, mappings, classes.

The native encoder (``rust/python/src/encode/tagged.rs``) calls :func:`plain_form` for a value that it does not know. No
library is imported: a value is recognised by the protocols of its class.
"""

from __future__ import annotations

import inspect
import itertools
import numbers
import os
from collections import UserString, deque
from collections.abc import Callable, Mapping, Sequence, Set, ValuesView
from types import FunctionType, SimpleNamespace
from typing import Any, Final

from plsync._common.json_schemas import carried_schema, schema_of

__all__ = ["plain_form"]

CLASS: Final = "class"
EXACT: Final = "exact"
NEAREST: Final = "nearest"
HIDDEN: Final = "hidden"

_MAX_ITEMS: Final = 10_000
"""A larger array, table or collection is cut to its first items."""
_FIRST_ITEMS: Final = 1_000

_TEXTS: Final = frozenset(
    {
        ("fractions", "Fraction"),
        ("uuid_utils", "UUID"),
        ("zoneinfo", "ZoneInfo"),
        ("datetime", "timezone"),
        ("httpx", "URL"),
        ("yarl", "URL"),
        ("pydantic_core", "Url"),
        ("pydantic", "AnyUrl"),
        ("pydantic", "_BaseMultiHostUrl"),
        ("pydantic_core", "MultiHostUrl"),
    }
)
"""Classes whose ``str()`` is their whole value, by their package and name."""
_DUMPS: Final = ("model_dump", "_asdict", "to_dict")
_PLAIN_REPR: Final[Any] = object.__repr__
_TEXT_PACKAGES: Final = frozenset({"ipaddress"})


def plain_form(value: Any, redact: Callable[[str], str] = str) -> tuple[str, Any] | None:
    """The plain form of a value that JSON lacks, and the kind of the form; None for a value without one.

    The kind ``class`` is a JSON schema. An ``exact`` form is a number or text that holds the whole value, and a
    ``nearest`` form holds its parts. A ``hidden`` value is a secret. The form may hold further values that JSON lacks.

    Args:
        value: any value.
        redact: replaces the credentials in a text, for the default values in a schema.

    >>> from pathlib import PurePosixPath
    >>> plain_form(PurePosixPath("/data/a.txt"))
    ('exact', '/data/a.txt')
    """
    schema = schema_of(value, redact)
    if schema is not None:
        return CLASS, schema
    kind = type(value)
    if isinstance(value, type) or kind.__module__.startswith("unittest.mock"):
        return None
    form = _first(_FORMS, value, kind)
    if form is not None:
        return form
    schema = carried_schema(value, redact)
    return (CLASS, schema) if schema is not None else _first(_LAST_FORMS, value, kind)


_Form = tuple[str, Any]


def _first(forms: tuple[Callable[[Any, type], _Form | None], ...], value: Any, kind: type) -> _Form | None:
    return next((form for find in forms if (form := find(value, kind)) is not None), None)


def _secret(value: Any, kind: type) -> _Form | None:
    return (HIDDEN, None) if hasattr(kind, "get_secret_value") else None


def _array(value: Any, kind: type) -> _Form | None:
    """A scalar, an array, a series or a tensor: anything with a data type, a shape and a conversion."""
    if not (hasattr(kind, "dtype") and hasattr(kind, "shape")):
        return None
    shape, dtype = tuple(value.shape), value.dtype
    convert = next((getattr(value, name) for name in ("tolist", "to_list") if hasattr(kind, name)), None)
    if convert is None:
        return plain_form(value.numpy()) if hasattr(kind, "numpy") else None
    if getattr(dtype, "kind", "") in ("M", "m") and not shape:
        return EXACT, str(value)
    size = _product(shape)
    if not shape:
        item = convert()
        return EXACT, float(value) if type(item) is kind else item
    if size <= _MAX_ITEMS:
        return NEAREST, convert()
    flat = value.iloc if hasattr(kind, "iloc") else value.reshape(-1) if hasattr(kind, "reshape") else value
    first = flat[:_FIRST_ITEMS]
    items = first.tolist() if hasattr(type(first), "tolist") else first.to_list()
    return NEAREST, {"dtype": str(dtype), "shape": list(shape), "first": items}


def _table(value: Any, kind: type) -> _Form | None:
    """The rows of a data frame."""
    if not (hasattr(kind, "to_dicts") or hasattr(kind, "to_dict")) or not hasattr(kind, "columns"):
        return None
    rows, columns = tuple(value.shape)
    whole = rows * columns <= _MAX_ITEMS
    shown = value if whole else value.head(max(1, _FIRST_ITEMS // max(1, columns)))
    listed = shown.to_dicts() if hasattr(kind, "to_dicts") else shown.to_dict("records")
    return NEAREST, listed if whole else {"shape": [rows, columns], "first": listed}


def _path(value: Any, kind: type) -> _Form | None:
    return (EXACT, os.fspath(value)) if hasattr(kind, "__fspath__") else None


def _text(value: Any, kind: type) -> _Form | None:
    if isinstance(value, UserString):
        return EXACT, str(value)
    if (pattern := getattr(value, "pattern", None)) is not None and kind.__name__ == "Pattern":
        return NEAREST, pattern
    package = kind.__module__.partition(".")[0]
    named = package in _TEXT_PACKAGES or any((package, base.__name__) in _TEXTS for base in kind.__mro__)
    return (EXACT, str(value)) if named else None


def _number(value: Any, kind: type) -> _Form | None:
    """A number: by its registration, or by a conversion.

    A class that defines its text, such as a quantity ``3 m``, is more than the number.
    """
    if hasattr(kind, "__index__"):
        return EXACT, int(value.__index__())
    if isinstance(value, numbers.Real) or (hasattr(kind, "__float__") and kind.__repr__ is _PLAIN_REPR):
        return EXACT, float(value)
    return None


def _fields(value: Any, kind: type) -> _Form | None:
    """The fields of an object of attrs, msgspec or pydantic 1, or of a namespace."""
    fields: Any = getattr(kind, "__struct_fields__", None)
    if (attributes := getattr(kind, "__attrs_attrs__", None)) is not None:
        names = [attribute.name for attribute in attributes]
    elif isinstance(fields, tuple):
        names = list(fields)
    elif isinstance(value, SimpleNamespace) or isinstance(vars(kind).get("__fields__"), dict):
        names = list(vars(value))
    else:
        return None
    return NEAREST, {name: getattr(value, name) for name in names if hasattr(value, name)}


def _collection(value: Any, kind: type) -> _Form | None:
    if isinstance(value, memoryview):
        return NEAREST, bytes(value)
    if isinstance(value, Mapping):
        return NEAREST, dict(itertools.islice(value.items(), _MAX_ITEMS))
    if isinstance(value, (Sequence, Set, ValuesView, deque)):
        return NEAREST, list(itertools.islice(value, _MAX_ITEMS))
    return (NEAREST, value.tolist()) if kind.__module__ == "array" else None


def _message(value: Any, kind: type) -> _Form | None:
    """The fields that are set in a message of Google's protobuf, or of proto-plus, which wraps one."""
    if type(kind).__module__.startswith("proto.") and hasattr(value, "_pb"):
        return NEAREST, value._pb
    if not (hasattr(kind, "DESCRIPTOR") and hasattr(kind, "ListFields")):
        return None
    return NEAREST, {field.name: content for field, content in value.ListFields()}


def _dumped(value: Any, kind: type) -> _Form | None:
    """The dict or list that an object makes of itself. A class method makes no object's dict."""
    methods = (
        name
        for name in _DUMPS
        if hasattr(kind, name) and isinstance(inspect.getattr_static(kind, name, None), FunctionType)
    )
    form = next((getattr(value, name)() for name in methods), None)
    return (NEAREST, form) if isinstance(form, (dict, list)) else None


def _value_text(value: Any, kind: type) -> _Form | None:
    """The text of a value that is compared by its content: a version, an id of a database, a date of another library.

    The ``repr`` has the same text with the name of the class around it. So a masked ``repr`` stays masked.
    """
    if _is_default(kind, "__str__") or _is_default(kind, "__eq__") or _is_default(kind, "__hash__"):
        return None
    text = str(value)
    return (NEAREST, text) if text and text in repr(value) else None


def _is_default(kind: type, name: str) -> bool:
    return getattr(kind, name) in (None, getattr(object, name))


def _product(shape: tuple[Any, ...]) -> int:
    size = 1
    for length in shape:
        size *= int(length)
    return size


_FORMS: Final[tuple[Callable[[Any, type], _Form | None], ...]] = (
    _secret,
    _array,
    _table,
    _path,
    _text,
    _number,
    _fields,
    _collection,
)
_LAST_FORMS: Final[tuple[Callable[[Any, type], _Form | None], ...]] = (_message, _dumped, _value_text)
