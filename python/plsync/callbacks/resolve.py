"""Finds the function of a sink, in a process that did not register it."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import PurePath
from types import FunctionType
from typing import Any, Protocol

from plsync.callbacks.sinks import Callback, is_function_name, sink_kind
from plsync.errors import SinkUnavailable

__all__ = ["FunctionFinder", "ImportableFunctions", "import_sink"]


class FunctionFinder(Protocol):
    """Finds the functions of sinks: the live functions of a program, or importable functions."""

    def may_find(self, sink: str) -> bool:
        """Return False when :meth:`find` is known to fail. Does not import anything."""

    def find(self, sink: str) -> Callback:
        """Return the function of a sink. May import its module.

        Raises:
            SinkUnavailable: this process has no such function. The message has the remedy.
        """


class ImportableFunctions:
    """Functions that can be imported, and functions that the user names in place of others.

    Args:
        overrides: the values of ``--callbacks``. ``module:function`` replaces the functions of that name that belong to
            a script, wherever the script is. ``SINK=module:function`` replaces a single sink, of any kind.

    Raises:
        ValueError: an override has neither form.
        SinkUnavailable: an override cannot be imported, or is not callable.
    """

    def __init__(self, overrides: Sequence[str] = ()) -> None:
        self.unavailable: dict[str, str] = {}
        """Sinks without a function, with the reason; only sinks that were looked up."""
        self._found: dict[str, Callback] = {}
        self._of_scripts: dict[str, Callback] = {}
        for value in overrides:
            sink, _, name = value.rpartition("=")
            if not is_function_name(name):
                raise ValueError(f"{value!r} is neither module:function nor SINK=module:function")
            (self._found if sink else self._of_scripts)[sink or name] = _import_callable(name)

    def may_find(self, sink: str) -> bool:
        """Return False for a sink whose look-up has failed."""
        return sink not in self.unavailable

    def find(self, sink: str) -> Callback:
        """Return the function of a sink. A module is imported once; a failed import is not repeated.

        Raises:
            SinkUnavailable: this process has no such function. The message has the remedy.
        """
        if sink in self.unavailable:
            raise SinkUnavailable(self.unavailable[sink])
        if sink not in self._found:
            try:
                self._found[sink] = self._of_script(sink) if sink_kind(sink) == "script" else import_sink(sink)
            except SinkUnavailable as error:
                self.unavailable[sink] = str(error)
                raise
        return self._found[sink]

    def _of_script(self, sink: str) -> Callback:
        script, _, function = sink.rpartition(":")
        matching = [name for name in self._of_scripts if name.partition(":")[2] == function]
        if len(matching) > 1:
            # Several functions share the name: take the one whose module has the name of the script.
            stem = PurePath(script).stem
            matching = [name for name in matching if name.partition(":")[0].rpartition(".")[2] == stem]
        if len(matching) == 1:
            return self._of_scripts[matching[0]]
        raise SinkUnavailable(
            f"{sink} belongs to a script, which other programs cannot import: run the script again, "
            f"or name another function: plsync run --callbacks module:{function}"
        )


def import_sink(name: str) -> Callback:
    """Import the function of a sink that any process can import.

    Accepts only a plain function of exactly that module and name: a name in a journal must not reach anything else.

    Raises:
        SinkUnavailable: the name belongs to a lambda, a local function or a script, or the import failed.
    """
    if sink_kind(name) != "function":
        raise SinkUnavailable(
            f"{name} can only be called by the program that made it: run that again, "
            f"or name another function: plsync run --callbacks '{name}=module:function'"
        )
    module_name, qualname = name.split(":")
    if module_name.partition(".")[0] in sys.stdlib_module_names:
        raise SinkUnavailable(f"{name} is not a function of an application's module")
    found = _import(name)
    if not isinstance(found, FunctionType) or (found.__module__, found.__qualname__) != (module_name, qualname):
        raise SinkUnavailable(f"{name} is not a plain function of that module")
    return found


def _import_callable(name: str) -> Callback:
    found = _import(name)
    if not callable(found):
        raise SinkUnavailable(f"{name} is not a function")
    return found  # type: ignore[no-any-return]


def _import(name: str) -> Any:
    module_name, qualname = name.split(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found: Any = importlib.import_module(module_name)
        for part in qualname.split("."):
            found = getattr(found, part)
    except (Exception, SystemExit) as error:
        raise SinkUnavailable(f"{name} cannot be imported here ({type(error).__name__}: {error})") from error
    return found
