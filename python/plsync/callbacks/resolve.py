"""Which function a sink's request ids go to, in a process that did not register it."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import PurePath
from types import FunctionType
from typing import Any, Protocol

from plsync.callbacks.sinks import Callback, kind_of, names_function
from plsync.errors import SinkUnavailable

__all__ = ["Functions", "Importable", "import_sink"]


class Functions(Protocol):
    """Finds the functions that sinks stand for."""

    def may_find(self, sink: str) -> bool:
        """False when it is known that :meth:`find` has none. Takes no time."""

    def find(self, sink: str) -> Callback:
        """The function that a sink's ids are given to. May take its time, to import it.

        Raises:
            SinkUnavailable: this process has none; the message says what to do.
        """


class Importable:
    """The functions that can be imported, and those that the user names for sinks that cannot."""

    def __init__(self, given: Sequence[str] = ()) -> None:
        """``given``: the values of ``--callbacks``.

        ``module:function`` stands for the functions of that name that belong to a script, wherever the script is.
        ``SINK=module:function`` stands for that one sink, which may be of any kind.

        Raises:
            ValueError: one of them is neither.
            SinkUnavailable: a function cannot be imported, or is none.
        """
        self.unavailable: dict[str, str] = {}
        """Why a sink has no function here, by its name; of those that were looked for."""
        self._found: dict[str, Callback] = {}
        self._of_scripts: dict[str, Callback] = {}
        for value in given:
            sink, _, name = value.rpartition("=")
            if not names_function(name):
                raise ValueError(f"{value!r} is neither module:function nor SINK=module:function")
            (self._found if sink else self._of_scripts)[sink or name] = _import_given(name)

    def may_find(self, sink: str) -> bool:
        """See :class:`Functions`."""
        return sink not in self.unavailable

    def find(self, sink: str) -> Callback:
        """See :class:`Functions`. A module is imported once; one that failed to be is not tried again."""
        if sink in self.unavailable:
            raise SinkUnavailable(self.unavailable[sink])
        if sink not in self._found:
            try:
                self._found[sink] = self._of_script(sink) if kind_of(sink) == "script" else import_sink(sink)
            except SinkUnavailable as error:
                self.unavailable[sink] = str(error)
                raise
        return self._found[sink]

    def _of_script(self, sink: str) -> Callback:
        script, _, function = sink.rpartition(":")
        fitting = [name for name in self._of_scripts if name.partition(":")[2] == function]
        if len(fitting) > 1:
            # Functions of one name: that of the module which is called like the script.
            stem = PurePath(script).stem
            fitting = [name for name in fitting if name.partition(":")[0].rpartition(".")[2] == stem]
        if len(fitting) == 1:
            return self._of_scripts[fitting[0]]
        raise SinkUnavailable(
            f"{sink} is a function of a script, which other programs cannot import: run the script again, "
            f"or name a function in its place: plsync run --callbacks module:{function}"
        )


def import_sink(name: str) -> Callback:
    """The function that a sink's name stands for, when any process can import it.

    Only a plain function of exactly that module and name will do: a name in a journal must not reach anything else.

    Raises:
        SinkUnavailable: it is a lambda, a local or a script's function, or cannot be imported.
    """
    if kind_of(name) != "function":
        raise SinkUnavailable(
            f"{name} can only be called by the program that made it: run that again, "
            f"or name a function in its place: plsync run --callbacks '{name}=module:function'"
        )
    module_name, qualname = name.split(":")
    if module_name.partition(".")[0] in sys.stdlib_module_names:
        raise SinkUnavailable(f"{name} is not a function of an application's module")
    found = _import(name)
    if not isinstance(found, FunctionType) or (found.__module__, found.__qualname__) != (module_name, qualname):
        raise SinkUnavailable(f"{name} is not a plain function of that module")
    return found


def _import_given(name: str) -> Callback:
    found = _import(name)
    if not callable(found):
        raise SinkUnavailable(f"{name} is no function")
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
