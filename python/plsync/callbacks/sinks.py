"""Sinks: the names under which a process finds ``pl_id_callback`` functions again, in another process too."""

from __future__ import annotations

import hashlib
import inspect
import os
import re
import sys
from collections.abc import Callable, Hashable
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, Final, Literal, cast

if TYPE_CHECKING:
    from plsync.journal.record import Record

__all__ = [
    "COMMAND",
    "Callback",
    "SinkKind",
    "identity",
    "is_function_name",
    "is_importable",
    "numbered_name",
    "sink_kind",
    "sink_name",
    "way_to_call",
    "with_record",
]

Callback = Callable[..., Any]

COMMAND: Final = "exec"
"""The sink of ``plsync run --exec``. A function's sink has a colon in its name."""

SinkKind = Literal["function", "script", "object", "command"]
_FUNCTION: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_PLAIN: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")

# The longest label of a record (docs/reference/format.md).
_MAX_BYTES = 255


def sink_name(callback: Callback) -> str:
    """The name of a callback, the same in every process that runs the same program.

    ``module:qualname`` for a function that can be imported. A function of ``__main__`` has the script's absolute path
    in place of the module. Lambdas, functions inside functions and other callables get ``@line`` behind the name.

    >>> import textwrap
    >>> sink_name(textwrap.dedent)
    'textwrap:dedent'
    """
    function = inspect.unwrap(getattr(callback, "func", callback))
    qualname = getattr(function, "__qualname__", type(function).__qualname__)
    module = getattr(function, "__module__", None) or type(function).__module__
    name = f"{_home(module)}:{qualname}"
    if not _resolves(module, qualname, callback):
        code = getattr(function, "__code__", None)
        name = f"{name}@{code.co_firstlineno}" if code is not None else f"{name}@object"
    return _shortened(name)


def numbered_name(name: str, number: int) -> str:
    """The sink of one of several callbacks that share a name in one process.

    The first callback keeps the plain name. Later ones get ``#2``, ``#3``, ...

    >>> numbered_name("app:on_id", 1), numbered_name("app:on_id", 2)
    ('app:on_id', 'app:on_id#2')
    """
    return name if number == 1 else _shortened(f"{name}#{number}")


def identity(callback: Callback) -> Hashable:
    """A key that is equal for callbacks with the same effect.

    Two methods of one object are equal, and so are two copies of a function that hold the same objects. The key holds
    an ``id()`` for each object, so it is valid only as long as the callback is kept.
    """
    if isinstance(callback, MethodType):
        return id(callback.__self__), id(callback.__func__)
    if not isinstance(callback, FunctionType):
        return id(callback)
    # The closure's cells and not their contents: two functions may hold equal values now, and other values later.
    held = (*(callback.__closure__ or ()), *(callback.__defaults__ or ()), *(callback.__kwdefaults__ or {}).values())
    return (callback.__code__, *map(id, held))


def is_function_name(name: str) -> bool:
    """Whether a text has the form ``module:function``."""
    return _FUNCTION.fullmatch(name) is not None


def sink_kind(sink: str) -> SinkKind:
    """The kind of a sink by its name: it decides which process can deliver to the sink.

    - ``function``: any process that can import it
    - ``script``: the script that defines it
    - ``object``: the program that made it (a lambda, a function inside a function, a method of an object)
    - ``command``: ``plsync run --exec``

    >>> sink_kind("app:on_id"), sink_kind("app:main.<locals>.on_id@12")
    ('function', 'object')
    """
    if sink == COMMAND:
        return "command"
    home, _, function = sink.rpartition(":")
    if not _PLAIN.fullmatch(function):
        return "object"
    if home == "__main__" or "/" in home or "\\" in home:
        return "script"
    return "function" if is_function_name(sink) else "object"


def way_to_call(sink: str) -> str:
    """How the request ids that wait for a sink reach it, if its program does not run."""
    import shlex  # noqa: PLC0415 - only a report needs it

    function = sink.rpartition(":")[2]
    return {
        "function": "`plsync run` calls it",
        "script": f"run the script again, or `plsync run --callbacks module:{function}`",
        "object": f"run its program again, or `plsync run --callbacks {shlex.quote(f'{sink}=module:function')}`",
        "command": "`plsync run --exec COMMAND` runs it",
    }[sink_kind(sink)]


def is_importable(callback: Callback) -> bool:
    """Whether another process can import the callback from its module."""
    module, qualname = getattr(callback, "__module__", None), getattr(callback, "__qualname__", None)
    return bool(module and qualname) and _resolves(cast("str", module), cast("str", qualname), callback)


def with_record(callback: Callback) -> Callable[[int, Record], Any]:
    """Adapt a callback of one or two arguments to a function of the request id and its record."""
    if _takes_record(callback):
        return callback
    return lambda request_id, _record: callback(request_id)


def _shortened(name: str) -> str:
    encoded = name.encode("utf-8", "surrogateescape")
    if len(encoded) <= _MAX_BYTES:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:16]
    return f"{digest}~{encoded[-(_MAX_BYTES - 17) :].decode('utf-8', 'ignore')}"


def _takes_record(callback: Callback) -> bool:
    try:
        signature = inspect.signature(callback)
    except (TypeError, ValueError):  # some callables written in C have no signature
        return False
    try:
        signature.bind(0, None)
    except TypeError:
        return False
    return sum(_is_positional(parameter) for parameter in signature.parameters.values()) >= 2 or _is_variadic(signature)


def _is_positional(parameter: inspect.Parameter) -> bool:
    return parameter.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def _is_variadic(signature: inspect.Signature) -> bool:
    return any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in signature.parameters.values())


def _home(module: str) -> str:
    if module != "__main__":
        return module
    script = getattr(sys.modules.get("__main__"), "__file__", None)
    return os.path.abspath(script) if script else module


def _resolves(module: str, qualname: str, callback: Callback) -> bool:
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found is callback
