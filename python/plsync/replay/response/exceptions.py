"""Exceptions in a recording: described as JSON, and rebuilt to be raised again.

An exception is rebuilt as its own class if this process has that class. Either the program imported the class, or its
module is known to define providers' exceptions. The constructor is not called, since it may need values that were not
recorded. The rebuilt exception has the arguments, and the attributes that JSON can hold. Without the class, a stand-in
of the same name derives from the nearest base class that this process has. Of a class that a file names, no method is
called: no ``__init__``, ``__init_subclass__``, ``__str__``, ``__del__`` and no property.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import Any, Final

from plsync._common.large_json import loads
from plsync._terminal import visible
from plsync.errors import PlsyncError, RecordedError
from plsync.journal.events.tagged import TAG, Rebuilder, encode
from plsync.replay.redaction import redact_headers
from plsync.replay.response.restore import class_mro, imported_class, static_attribute

__all__ = ["describe_error", "rebuild_error"]

# Programs catch exceptions of these modules. Importing such a module only defines classes.
_PROVIDER_MODULES: Final = frozenset({"anthropic", "httpx", "httpx2", "langchain_core", "openai"})
_HTTP_MODULES: Final = ("httpx2", "httpx")
_MAX_CAUSES: Final = 3
_LARGEST_BODY: Final = 65536
# The text of an exception with such arguments runs no code of a program.
_PLAIN: Final = frozenset({str, int, float, bool, bytes, type(None)})
_TRANSFER_HEADERS: Final = frozenset({"content-encoding", "content-length", "transfer-encoding"})


def describe_error(error: BaseException, depth: int = 0) -> dict[str, Any]:
    """An exception as tagged JSON: class, bases, message, arguments, attributes, and its cause.

    Args:
        error: the exception.
        depth: the number of causes that were already described.
    """
    kind = type(error)
    # ``args`` of an OSError lacks the file name.
    args = OSError.__reduce__(error)[1] if isinstance(error, OSError) else error.args
    described: dict[str, Any] = {
        "class": _path(kind),
        "bases": [_path(base) for base in kind.__mro__[1:] if issubclass(base, Exception)],
        "message": _to_json(_message(error)),
        "args": [_to_json(value) for value in args],
        "attributes": {
            name: _to_json(value) for name, value in vars(error).items() if isinstance(name, str) and _is_kept(value)
        },
    }
    if not described["attributes"]:
        del described["attributes"]
    if isinstance(error.__cause__, Exception) and depth < _MAX_CAUSES:
        described["cause"] = describe_error(error.__cause__, depth + 1)
    return described


def rebuild_error(described: dict[str, Any], restore: Rebuilder) -> Exception:
    """The described exception: of the recorded class, or a ``RecordedError`` that stands in for it.

    Args:
        described: the packed result of ``describe_error``.
        restore: restores objects from tagged JSON.
    """
    message = str(_from_json(described.get("message", ""), restore))
    args = tuple(_from_json(value, restore) for value in described.get("args") or [])
    attributes = {name: _from_json(value, restore) for name, value in (described.get("attributes") or {}).items()}
    error = _own_class(described, message, args, attributes) or _stand_in(described, message, attributes)
    if isinstance(described.get("cause"), dict):
        error.__cause__ = rebuild_error(described["cause"], restore)
    return error


def _own_class(
    described: dict[str, Any], message: str, args: tuple[Any, ...], attributes: dict[str, Any]
) -> Exception | None:
    cls = _exception_class(described.get("class"))
    if cls is None or static_attribute(cls, "__del__") is not None:
        return None
    try:
        # Only the constructor of a built-in class sets all of its state, and that constructor is harmless.
        base = _builtin_base(cls)
        error: Exception = cls(*args) if base is cls else base.__new__(cls, *args)
    except Exception:
        return None
    _set_state(error, attributes, error.args if base is cls else args)
    return error if _has_message(error, message) else _with_message(error, message)


def _stand_in(described: dict[str, Any], message: str, attributes: dict[str, Any]) -> Exception:
    path = str(described.get("class", ""))
    module, _, name = path.partition(":")
    bases = (_exception_class(base) for base in described.get("bases") or [])
    nearest = next((base for base in bases if base is not None and _is_plain_base(base)), Exception)
    # A class of plsync prints no control character. An exception of the recorded class has exactly the recorded text.
    namespace = {"__module__": module or __name__, "__str__": lambda _: visible(message)}
    try:
        cls: Any = type(name.rpartition(".")[2] or "RecordedError", (RecordedError, nearest), namespace)
        error: Exception = _builtin_base(cls).__new__(cls)
    except TypeError:  # the base class cannot be combined or needs arguments
        error = type(name or "RecordedError", (RecordedError,), namespace)()
    _set_state(error, attributes, (message,))
    return error


def _builtin_base(cls: type) -> Any:
    return next(base for base in class_mro(cls) if base.__module__ == "builtins")


def _is_plain_base(cls: type) -> bool:
    """Whether a subclass can be made, and removed, without a call of the class's code."""
    makes_own = isinstance(static_attribute(cls, "__init_subclass__"), classmethod)
    return type(cls) is type and not makes_own and static_attribute(cls, "__del__") is None


def _set_state(error: Exception, attributes: dict[str, Any], args: tuple[Any, ...]) -> None:
    # The descriptors of the built-in class: a subclass may have a property of that name.
    with contextlib.suppress(TypeError):
        BaseException.__dict__["args"].__set__(error, args)
    BaseException.__dict__["__dict__"].__get__(error).update(attributes)


def _has_message(error: Exception, message: str) -> bool:
    """Whether the exception's text is the recorded one. Only a text that built-in classes make is computed."""
    makes_text = next(base for base in class_mro(type(error)) if "__str__" in vars(base))
    is_builtin = makes_text.__module__ == "builtins" and _is_plain(error.args)
    is_known = makes_text.__module__.partition(".")[0] in _PROVIDER_MODULES
    return (is_builtin or is_known) and _message(error) == message


def _is_plain(value: Any) -> bool:
    if type(value) is dict:
        return all(_is_plain(key) and _is_plain(item) for key, item in value.items())
    return all(map(_is_plain, value)) if type(value) in (list, tuple) else type(value) in _PLAIN


def _with_message(error: Exception, message: str) -> Exception:
    """The exception with a fixed text, for a class whose ``__str__`` needs values that were not recorded."""
    cls = type(error)
    if not _is_plain_base(cls):
        return error
    namespace = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__str__": lambda _: message}
    with contextlib.suppress(TypeError):
        error.__class__ = type(cls.__name__, (cls,), namespace)
    return error


def _exception_class(path: object) -> type[Exception] | None:
    module, _, name = path.partition(":") if isinstance(path, str) else ("", "", "")
    if module.partition(".")[0] in _PROVIDER_MODULES and module not in sys.modules and name.isidentifier():
        with contextlib.suppress(ImportError):
            importlib.import_module(module.partition(".")[0])
    found = imported_class(path)
    if found is None or Exception not in class_mro(found) or PlsyncError in class_mro(found):
        return None
    return found


def _path(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as raised:
        return f"<str failed: {type(raised).__name__}>"


# --- arguments and attributes ---


def _is_kept(value: Any) -> bool:
    return _http_kind(value) is not None or not encode(value)[1]


def _to_json(value: Any) -> Any:
    kind = _http_kind(value)
    if kind is None:
        return loads(encode(value)[0])
    request = value if kind == "Request" else getattr(value, "_request", None)
    kept: dict[str, Any] = {TAG: "http", "c": kind}
    if request is not None:
        kept |= {"method": str(request.method), "url": str(request.url)}
    if kind == "Response":
        kept |= {"status": int(value.status_code), "headers": redact_headers(value.headers), "body": _body(value)}
    return kept


def _from_json(value: Any, restore: Rebuilder) -> Any:
    return _http_object(value) if isinstance(value, dict) and value.get(TAG) == "http" else restore(value)


def _http_kind(value: Any) -> str | None:
    """``Request`` or ``Response`` for an object of httpx; ``None`` for any other value."""
    kind = type(value)
    is_http = kind.__name__ in ("Request", "Response") and kind.__module__.partition(".")[0] in _HTTP_MODULES
    return kind.__name__ if is_http else None


def _body(response: Any) -> str | None:
    try:
        text: str = response.text
    except Exception:  # a stream that was never read
        return None
    return text if len(text) <= _LARGEST_BODY else None


def _http_object(kept: dict[str, Any]) -> Any:
    """The request or response that an exception carries, of httpx's own class: for ``error.response.headers``."""
    imported = (sys.modules[name] for name in _HTTP_MODULES if name in sys.modules)
    httpx = next(imported, None) or importlib.import_module("httpx")
    request = httpx.Request(kept["method"], kept["url"]) if "method" in kept else None
    if kept.get("c") != "Response":
        return request
    # The recorded body is decoded already.
    headers = {name: value for name, value in kept["headers"].items() if name.lower() not in _TRANSFER_HEADERS}
    return httpx.Response(kept["status"], headers=headers, text=kept.get("body") or "", request=request)
