"""Finds the function of a sink, in a process that did not register it."""

from __future__ import annotations

import importlib
import shlex
import sys
import threading
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from pathlib import PurePath
from types import FunctionType, ModuleType
from typing import Any, Final, Protocol

from plsync._common.logged import reason_of
from plsync.callbacks.module_files import WorkingDirectory
from plsync.callbacks.module_search import find_module, is_standard, may_define
from plsync.callbacks.sinks import Callback, is_function_name, sink_kind
from plsync.errors import SinkUnavailable

__all__ = ["FunctionFinder", "ImportableFunctions", "import_named", "import_sink", "source_file"]

_importing: Final = threading.RLock()


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
        self.sources: dict[str, str] = {}
        """The file that each function came from, by the name of its sink or of the override."""
        self._found: dict[str, Callback] = {}
        self._of_scripts: dict[str, Callback] = {}
        for value in overrides:
            sink, _, name = value.rpartition("=")
            if not is_function_name(name):
                raise ValueError(f"{value}: choose MODULE:FUNCTION, or SINK=MODULE:FUNCTION")
            found = import_named(name)
            (self._found if sink else self._of_scripts)[sink or name] = found
            self._note_source(sink or name, found)

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
            self._note_source(sink, self._found[sink])
        return self._found[sink]

    def _note_source(self, sink: str, callback: Callback) -> None:
        self.sources[sink] = source_file(callback) or "a module without a file"

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

    Accepts only a plain function of exactly that module and name: a name in a journal must not reach anything else. A
    module whose source has no such function is not run.

    Raises:
        SinkUnavailable: the name belongs to a lambda, a local function or a script, or the import failed.
    """
    if sink_kind(name) != "function":
        raise SinkUnavailable(
            f"{name} can only be called by the program that made it: run that again, "
            f"or name another function: plsync run --callbacks {shlex.quote(f'{name}=module:function')}"
        )
    found = _import(name, applications_only=True)
    if not isinstance(found, FunctionType) or (found.__module__, found.__qualname__) != tuple(name.split(":")):
        raise SinkUnavailable(f"{name} is not a plain function of that module")
    return found


def import_named(name: str) -> Callback:
    """Import a function that the user named on the command line, as ``module:function``.

    Raises:
        SinkUnavailable: it cannot be imported here, or is not callable.
    """
    found = _import(name)
    if not callable(found):
        raise SinkUnavailable(f"{name} is not a function")
    return found  # type: ignore[no-any-return]


def source_file(callback: Callback) -> str | None:
    """The file of the module that defines a function; None for a module without a file."""
    module = sys.modules.get(getattr(callback, "__module__", None) or type(callback).__module__)
    return getattr(module, "__file__", None)


def _import(name: str, *, applications_only: bool = False) -> Any:
    module_name, qualname = name.split(":")
    first, *rest = qualname.split(".")
    try:
        # One thread at a time: each may add the working directory to sys.path, or remove it.
        with _importing:
            module = _import_module(name, module_name, first, applications_only=applications_only)
        found = getattr(module, first)
        for part in rest:
            found = getattr(found, part)
    except SinkUnavailable:
        raise
    except (Exception, SystemExit) as error:
        raise SinkUnavailable(f"{name} cannot be imported here ({reason_of(error)})") from error
    return found


def _import_module(name: str, module_name: str, function: str, *, applications_only: bool) -> ModuleType:
    spec, here = find_module(module_name), None
    if spec is None:
        spec, here = _find_here(name, module_name)
    if applications_only and is_standard(spec):
        raise SinkUnavailable(f"{name} is not a function of an application's module")
    if module_name not in sys.modules and not may_define(spec, function):
        raise SinkUnavailable(f"{name} does not exist: {spec.origin} has no such function, and was not run")
    added = here is not None and here.add()
    try:
        return importlib.import_module(module_name)
    except BaseException:
        if here is not None and added:
            here.remove()
        raise


def _find_here(name: str, module_name: str) -> tuple[ModuleSpec, WorkingDirectory]:
    """The module of a sink in the working directory, whose files have been checked."""
    here = WorkingDirectory()
    missing = f"{name} cannot be imported here (no module named {module_name!r}"
    if here.is_forbidden:
        raise SinkUnavailable(f"{missing}, and Python's safe path keeps {here.path} out: set PYTHONPATH={here.path})")
    spec = find_module(module_name, [str(here.path)])
    if spec is None:
        raise SinkUnavailable(f"{missing})")
    here.check(spec)
    return spec, here
