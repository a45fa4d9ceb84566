"""The JSON form of classes, types, functions and tools that a program passes in place of a JSON schema.

The client of a provider converts such a value before it sends the request. The journal keeps the same schema. A class
is converted once.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import sys
import types
import weakref
from collections.abc import Callable
from typing import Annotated, Any, Final, Union, get_args, get_origin

import orjson
from typing_extensions import NotRequired, Required, TypedDict, get_type_hints, is_typeddict

__all__ = ["carried_schema", "schema_of"]

_FUNCTIONS: Final = (types.FunctionType, types.MethodType, types.BuiltinFunctionType, functools.partial)
_TYPES: Final = (type, types.GenericAlias, types.UnionType)
_TYPING: Final = frozenset({"typing", "typing_extensions"})
# A generic type, the type of ``NewType``, and an alias of ``type X = ...``.
_MADE_OF: Final = ("__origin__", "__supertype__", "__value__")
# ``pydantic.TypeAdapter`` and classes of programs have the first one.
_SCHEMA_METHODS: Final = ("json_schema", "model_json_schema")
# A longer schema is left to the repr. No provider takes one.
_MAX_BYTES: Final = 1 << 20

# LangChain's schema of a tool that takes one text.
_ONE_TEXT: Final = {
    "type": "object",
    "properties": {"__arg1": {"title": "__arg1", "type": "string"}},
    "required": ["__arg1"],
}

_known: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()
# Tools are not hashable, so their address is the key. The weak reference shows whether the tool still lives there.
_tools: dict[int, tuple[weakref.ref[Any], Any, Any]] = {}
_MAX_TOOLS: Final = 1024
_MISSING: Final = object()
_VALUES: Final = frozenset({"const", "default", "example", "examples"})


def schema_of(value: Any, redact: Callable[[str], str] = str) -> Any:
    """The JSON form of a class, a type, a function or a tool; None for any other value.

    A class has its JSON schema. A function and a tool have the form of OpenAI's tools.

    Args:
        value: any value.
        redact: replaces the credentials in a text. Default values and examples of a schema pass through it.

    Returns:
        A dict, or an ``orjson.Fragment`` with its JSON.

    >>> import orjson
    >>> orjson.dumps(schema_of(bool))
    b'{"type":"boolean"}'
    """
    kind = type(value)
    if issubclass(kind, _FUNCTIONS):
        return _remembered(value, _function_schema, redact)
    if issubclass(kind, _TYPES) or (kind.__module__ in _TYPING and any(hasattr(value, name) for name in _MADE_OF)):
        return _remembered(value, _type_schema, redact)
    return _tool_form(value, redact) if hasattr(kind, "tool_call_schema") and hasattr(kind, "args") else None


def carried_schema(value: Any, redact: Callable[[str], str] = str) -> Any:
    """The JSON schema that an object returns, such as ``pydantic.TypeAdapter``; None for any other object.

    Args:
        value: any object but a class.
        redact: as in ``schema_of``.
    """
    kind = type(value)
    make = next((name for name in _SCHEMA_METHODS if hasattr(kind, name) and _is_method(kind, name)), None)
    if make is None:
        return None
    if kind.__module__.startswith("pydantic."):
        return _remembered(value, lambda adapter: _own_schema(adapter.json_schema), redact)
    return _json(_own_schema(getattr(value, make)), redact)


def _is_method(kind: type, name: str) -> bool:
    """Whether objects of a class have a method. A class method describes the class, and not its object."""
    return isinstance(inspect.getattr_static(kind, name, None), types.FunctionType)


def _remembered(value: Any, make: Callable[[Any], dict[str, Any] | None], redact: Callable[[str], str]) -> Any:
    try:
        found = _known.get(value, _MISSING)
    except TypeError:  # not hashable, or without weak references
        return _json(make(value), redact)
    if found is _MISSING:
        found = _json(make(value), redact)
        # A class with a forward reference has a schema as soon as the program has defined the other class.
        if found is not None or getattr(value, "__pydantic_complete__", True):
            with contextlib.suppress(TypeError):
                _known[value] = found
    return found


def _tool_form(tool: Any, redact: Callable[[str], str]) -> Any:
    reference, key, form = _tools.get(id(tool), (None, None, None))
    current = (tool.name, tool.description, id(tool.args_schema))
    if reference is None or reference() is not tool or key != current:
        form = _json(_tool(tool.name, tool.description, _parameters(tool)), redact)
        if len(_tools) >= _MAX_TOOLS:
            _tools.clear()
        _tools[id(tool)] = (weakref.ref(tool), current, form)
    return form


def _parameters(tool: Any) -> dict[str, Any] | None:
    """The schema of the arguments that a model may pass to a tool."""
    takes_text = any(base.__module__ == "langchain_core.tools.simple" for base in type(tool).__mro__)
    if takes_text and tool.args_schema is None:
        return _ONE_TEXT
    schema = tool.tool_call_schema
    return schema if isinstance(schema, dict) else _type_schema(schema)


def _json(schema: dict[str, Any] | None, redact: Callable[[str], str]) -> Any:
    """The schema as JSON that orjson copies unchanged. A schema with the key of a tag stays a dict."""
    if schema is None:
        return None
    schema = _redacted(schema, redact)
    written = orjson.dumps(schema)
    if len(written) > _MAX_BYTES:
        return None
    return schema if b'"$":' in written else orjson.Fragment(written)


def _redacted(schema: Any, redact: Callable[[str], str], *, is_value: bool = False) -> Any:
    """A copy of a schema whose values are redacted. A description is no value."""
    if isinstance(schema, dict):
        return {key: _redacted(item, redact, is_value=is_value or key in _VALUES) for key, item in schema.items()}
    if isinstance(schema, list):
        return [_redacted(item, redact, is_value=is_value) for item in schema]
    return redact(schema) if is_value and isinstance(schema, str) else schema


def _type_schema(value: Any) -> dict[str, Any] | None:
    if not isinstance(value, type):
        return _pydantic_schema(value)
    if hasattr(value, "model_json_schema"):
        return _own_schema(value.model_json_schema)
    if "__fields__" in vars(value) and hasattr(value, "schema"):
        return _own_schema(value.schema)  # pydantic 1
    if hasattr(value, "__struct_fields__") and (msgspec := sys.modules.get("msgspec")) is not None:
        return dict(msgspec.json.schema(value))
    if "__attrs_attrs__" in vars(value):
        return _attrs_schema(value)
    schema = _pydantic_schema(value)
    if schema and is_typeddict(value):
        _describe(schema, value)
    if schema and hasattr(value, "__dataclass_fields__") and value.__doc__:
        schema.setdefault("description", value.__doc__)  # LangChain sends also the one that Python makes
    return schema or None  # the schema of ``object`` is empty


def _own_schema(make: Callable[..., Any]) -> dict[str, Any] | None:
    try:
        schema = make(schema_generator=_quiet_generator())
    except TypeError:  # pydantic 1, or a method of the program
        schema = make()
    return schema if isinstance(schema, dict) else None


def _attrs_schema(value: Any) -> dict[str, Any] | None:
    """The schema of a class of attrs, whose fields pydantic does not know."""
    hints = get_type_hints(value, include_extras=True)
    fields = {
        field.name: Required[hint] if field.default is sys.modules["attr"].NOTHING else NotRequired[hint]
        for field in value.__attrs_attrs__
        if (hint := hints.get(field.name, Any))
    }
    return _pydantic_schema(TypedDict(value.__name__, fields))  # type: ignore[operator]


def _pydantic_schema(value: Any) -> dict[str, Any] | None:
    """The schema that pydantic makes of a type; None for a class that is no data."""
    import pydantic  # noqa: PLC0415 - a program that passes no class does not need it

    for kind in (value, _modern(value, ())) if sys.version_info < (3, 12) else (value,):
        with contextlib.suppress(pydantic.PydanticUserError, NameError, TypeError):
            return pydantic.TypeAdapter(kind).json_schema(schema_generator=_quiet_generator())
    return None


@functools.cache
def _quiet_generator() -> type[Any]:
    from pydantic.json_schema import GenerateJsonSchema  # noqa: PLC0415 - as above

    class Quiet(GenerateJsonSchema):
        def emit_warning(self, *_: Any) -> None:
            """Warn of nothing: the client of the provider warns when it makes the same schema."""

    return Quiet


def _modern(hint: Any, parents: tuple[Any, ...]) -> Any:
    """A type without ``typing.TypedDict``. Before Python 3.12 pydantic takes only ``typing_extensions.TypedDict``."""
    if is_typeddict(hint):
        if hint in parents:
            return dict
        hints = get_type_hints(hint, include_extras=True)
        fields = {name: _modern(field, (*parents, hint)) for name, field in hints.items()}
        required = hint.__required_keys__
        return TypedDict(  # type: ignore[operator]
            hint.__name__,
            {name: Required[field] if name in required else NotRequired[field] for name, field in fields.items()},
        )
    arguments = get_args(hint)
    replaced = tuple(_modern(argument, parents) for argument in arguments)
    if replaced == arguments:
        return hint
    origin = get_origin(hint)
    if origin is Annotated:
        return Annotated[(replaced[0], *hint.__metadata__)]
    return Union[replaced] if origin in (Union, types.UnionType) else origin[replaced]  # noqa: UP007 - of any length


def _describe(schema: dict[str, Any], value: Any) -> None:
    """Add the descriptions of a TypedDict: LangChain takes them from its docstring and from ``Annotated``."""
    if value.__doc__:
        schema.setdefault("description", inspect.cleandoc(value.__doc__))
    properties = schema.get("properties")
    with contextlib.suppress(NameError, TypeError):
        for name, hint in get_type_hints(value, include_extras=True).items():
            texts = [note for note in getattr(hint, "__metadata__", ()) if isinstance(note, str)]
            if texts and isinstance(properties, dict) and isinstance(properties.get(name), dict):
                properties[name].setdefault("description", texts[0])


def _function_schema(function: Any) -> dict[str, Any] | None:
    parameters = _pydantic_schema(function)
    if parameters is None or parameters.get("type") != "object":
        return None
    named = function.func if isinstance(function, functools.partial) else function
    return _tool(getattr(named, "__name__", "function"), inspect.getdoc(named), parameters)


def _tool(name: Any, description: Any, parameters: dict[str, Any] | None) -> dict[str, Any]:
    schema = {key: value for key, value in (parameters or {}).items() if key not in {"title", "description"}}
    function = {"name": str(name), "description": description or "", "parameters": schema}
    return {"type": "function", "function": function}
