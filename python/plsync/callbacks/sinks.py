"""Sinks: the names under which ``pl_id_callback`` functions are found again, also by a later process."""

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
    "Kind",
    "adapted",
    "is_importable",
    "kind_of",
    "names_function",
    "numbered",
    "same_as",
    "sink_name",
]

Callback = Callable[..., Any]

COMMAND: Final = "exec"
"""The sink of ``plsync run --exec``. Functions' sinks have a colon in their names."""

Kind = Literal["function", "script", "object", "command"]
_FUNCTION: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*", re.ASCII)
_PLAIN: Final = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")

# A label of a record holds no more (docs/reference/format.md).
_MAX_BYTES = 255


def sink_name(callback: Callback) -> str:
    """The name of a callback, the same in every process that runs the same program.

    ``module:qualname`` for a function that can be imported; the script's absolute path instead of the module for one
    defined in ``__main__``; with ``@line`` where the name alone does not tell (lambdas, functions inside functions,
    other callables).

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
    return _fitting(name)


def numbered(name: str, number: int) -> str:
    """The name of the ``number``-th callback that goes by ``name`` in a process; the first has it as it is."""
    return name if number == 1 else _fitting(f"{name}#{number}")


def same_as(callback: Callback) -> Hashable:
    """Equal for callbacks that do the same: a function made again that holds no values, a method of one object.

    It names objects by their ``id``, so it holds only as long as the callback is kept.
    """
    if isinstance(callback, MethodType):
        return id(callback.__self__), id(callback.__func__)
    if not isinstance(callback, FunctionType):
        return id(callback)
    # The cells, not what is in them: two functions may hold the same value now, and others later.
    held = (*(callback.__closure__ or ()), *(callback.__defaults__ or ()), *(callback.__kwdefaults__ or {}).values())
    return (callback.__code__, *map(id, held))


def names_function(name: str) -> bool:
    """Whether a text has the form ``module:function``."""
    return _FUNCTION.fullmatch(name) is not None


def kind_of(sink: str) -> Kind:
    """What a sink's name says of who can be given its ids.

    ``function``: whoever can import it; ``script``: the script that defines it; ``object``: the program that made it (a
    lambda, a function inside a function, a method of an object); ``command``: the command of ``plsync run --exec``.
    """
    if sink == COMMAND:
        return "command"
    home, _, function = sink.rpartition(":")
    if not _PLAIN.fullmatch(function):
        return "object"
    if home == "__main__" or "/" in home or "\\" in home:
        return "script"
    return "function" if names_function(sink) else "object"


def is_importable(callback: Callback) -> bool:
    """Whether another process can find the callback by importing its module."""
    module, qualname = getattr(callback, "__module__", None), getattr(callback, "__qualname__", None)
    return bool(module and qualname) and _resolves(cast("str", module), cast("str", qualname), callback)


def adapted(callback: Callback) -> Callable[[int, Record], Any]:
    """The callback as a function of the request id and its record, for callbacks that take one argument or two."""
    if _takes_record(callback):
        return callback
    return lambda request_id, _record: callback(request_id)


def _fitting(name: str) -> str:
    encoded = name.encode("utf-8", "surrogateescape")
    if len(encoded) <= _MAX_BYTES:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:16]
    return f"{digest}~{encoded[-(_MAX_BYTES - 17) :].decode('utf-8', 'ignore')}"


def _takes_record(callback: Callback) -> bool:
    try:
        signature = inspect.signature(callback)
    except (TypeError, ValueError):  # some callables written in C do not tell
        return False
    try:
        signature.bind(0, None)
    except TypeError:
        return False
    return sum(_is_required(parameter) for parameter in signature.parameters.values()) >= 2 or _is_variadic(signature)


def _is_required(parameter: inspect.Parameter) -> bool:
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return parameter.kind in positional


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
