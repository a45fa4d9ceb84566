"""Exceptions as a recording holds them, and raised again.

An exception comes back as its own class when this process has that class: imported by the program, or in one of a few
modules known to hold providers' exceptions. It is made without its constructor, which may want more than was recorded,
and gets its arguments and the attributes JSON can hold. Otherwise a stand-in of the same name takes its place, which
derives from the nearest built-in class the original derived from. Nothing a file names is called.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import Any, Final

import orjson

from plsync.errors import PlsyncError, RecordedError
from plsync.journal.events.tagged import TAG, Rebuilder, encode
from plsync.replay.redaction import shown_headers
from plsync.replay.response.restore import imported_class

__all__ = ["describe_error", "rebuild_error"]

# Their exceptions are what programs catch; importing them does nothing but define classes.
_KNOWN: Final = frozenset({"anthropic", "httpx", "httpx2", "langchain_core", "openai"})
_HTTP: Final = ("httpx2", "httpx")
_DEPTH: Final = 3
_LARGEST_BODY: Final = 65536


def describe_error(error: BaseException, depth: int = 0) -> dict[str, Any]:
    """An exception as tagged JSON: class, bases, message, arguments, attributes, and what caused it."""
    kind = type(error)
    # The args of an OSError lack the file's name.
    args = OSError.__reduce__(error)[1] if isinstance(error, OSError) else error.args
    described: dict[str, Any] = {
        "class": _path(kind),
        "bases": [_path(base) for base in kind.__mro__[1:] if issubclass(base, Exception)],
        "message": _kept(_message(error)),
        "args": [_kept(value) for value in args],
        "attributes": {
            name: _kept(value) for name, value in vars(error).items() if isinstance(name, str) and _can_keep(value)
        },
    }
    if not described["attributes"]:
        del described["attributes"]
    if isinstance(error.__cause__, Exception) and depth < _DEPTH:
        described["cause"] = describe_error(error.__cause__, depth + 1)
    return described


def rebuild_error(described: dict[str, Any], restored: Rebuilder) -> Exception:
    """The exception again: of its class, or a ``RecordedError`` that stands in for it.

    Args:
        described: what ``describe_error`` returned, packed.
        restored: makes objects of it.
    """
    message = str(_given(described.get("message", ""), restored))
    args = tuple(_given(value, restored) for value in described.get("args") or [])
    attributes = {name: _given(value, restored) for name, value in (described.get("attributes") or {}).items()}
    error = _of_its_class(described, message, args, attributes) or _stand_in(described, message, attributes)
    if isinstance(described.get("cause"), dict):
        error.__cause__ = rebuild_error(described["cause"], restored)
    return error


def _of_its_class(
    described: dict[str, Any], message: str, args: tuple[Any, ...], attributes: dict[str, Any]
) -> Exception | None:
    cls = _exception_class(described.get("class"))
    if cls is None:
        return None
    try:
        # Built-in classes keep some of their state where only their constructor reaches, and theirs is harmless.
        base: Any = next(base for base in cls.__mro__ if base.__module__ == "builtins")
        error: Exception = cls(*args) if base is cls else base.__new__(cls, *args)
    except Exception:
        return None
    _furnish(error, attributes, error.args if base is cls else args)
    return error if _message(error) == message else _saying(error, message)


def _stand_in(described: dict[str, Any], message: str, attributes: dict[str, Any]) -> Exception:
    path = str(described.get("class", ""))
    module, _, name = path.partition(":")
    bases = (_exception_class(base) for base in described.get("bases") or [])
    nearest = next((base for base in bases if base is not None), Exception)
    names = {"__module__": module or __name__, "__str__": lambda _: message}
    try:
        cls: Any = type(name.rpartition(".")[2] or "RecordedError", (RecordedError, nearest), names)
        error: Exception = cls.__new__(cls)
    except TypeError:  # a base that cannot be combined or needs arguments
        error = type(name or "RecordedError", (RecordedError,), names)()
    _furnish(error, attributes, (message,))
    return error


def _furnish(error: Exception, attributes: dict[str, Any], args: tuple[Any, ...]) -> None:
    with contextlib.suppress(Exception):
        error.args = args
    with contextlib.suppress(TypeError):  # a class without a __dict__
        vars(error).update(attributes)


def _saying(error: Exception, message: str) -> Exception:
    """The same exception where its own words need what was not recorded."""
    cls = type(error)
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__str__": lambda _: message}
    with contextlib.suppress(TypeError):
        error.__class__ = type(cls.__name__, (cls,), names)
    return error


def _exception_class(path: object) -> type[Exception] | None:
    module, _, name = path.partition(":") if isinstance(path, str) else ("", "", "")
    if module.partition(".")[0] in _KNOWN and module not in sys.modules and name.isidentifier():
        with contextlib.suppress(ImportError):
            importlib.import_module(module.partition(".")[0])
    found = imported_class(path)
    if found is None or not issubclass(found, Exception) or issubclass(found, PlsyncError):
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


def _can_keep(value: Any) -> bool:
    return _is_http(value) is not None or not encode(value)[1]


def _kept(value: Any) -> Any:
    kind = _is_http(value)
    if kind is None:
        return orjson.loads(encode(value)[0])
    request = value if kind == "Request" else getattr(value, "_request", None)
    kept: dict[str, Any] = {TAG: "http", "c": kind}
    if request is not None:
        kept |= {"method": str(request.method), "url": str(request.url)}
    if kind == "Response":
        kept |= {"status": int(value.status_code), "headers": shown_headers(value.headers), "body": _body(value)}
    return kept


def _given(value: Any, restored: Rebuilder) -> Any:
    return _http(value) if isinstance(value, dict) and value.get(TAG) == "http" else restored(value)


def _is_http(value: Any) -> str | None:
    """``Request`` or ``Response`` if it is one of httpx's."""
    kind = type(value)
    is_one = kind.__name__ in ("Request", "Response") and kind.__module__.partition(".")[0] in _HTTP
    return kind.__name__ if is_one else None


def _body(response: Any) -> str | None:
    try:
        text: str = response.text
    except Exception:  # a stream nobody has read
        return None
    return text if len(text) <= _LARGEST_BODY else None


def _http(kept: dict[str, Any]) -> Any:
    """What providers' exceptions carry, so that ``error.response.headers`` works; httpx's own class."""
    httpx = next((sys.modules[name] for name in _HTTP if name in sys.modules), None) or importlib.import_module("httpx")
    request = httpx.Request(kept["method"], kept["url"]) if "method" in kept else None
    if kept.get("c") != "Response":
        return request
    # The body was decoded when it was recorded.
    headers = {name: value for name, value in kept["headers"].items() if name.lower() not in _OF_THE_WIRE}
    return httpx.Response(kept["status"], headers=headers, text=kept.get("body") or "", request=request)


_OF_THE_WIRE: Final = frozenset({"content-encoding", "content-length", "transfer-encoding"})
