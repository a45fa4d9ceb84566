"""Package faces whose names load on first use, so that importing a package costs nearly nothing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any


def exports(package: str, homes: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a package whose names are defined in its modules.

    Args:
        package: the package's ``__name__``.
        homes: the module that defines each public name. A module of the package is its own home.

    Returns:
        ``__getattr__``, which imports a name's home and keeps the value in the package, and ``__dir__``.
        ``__getattr__`` raises AttributeError for a name that is not in ``homes``.

    >>> getter, _ = exports("plsync.replay", {"load": "plsync.replay.proxy.standalone"})
    >>> getter("load").__name__
    'load'
    """
    face = sys.modules[package]

    def get(name: str) -> Any:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(home)
        value = module if home == f"{package}.{name}" else getattr(module, name)
        setattr(face, name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(face), *homes})

    return get, names
