"""Package namespaces whose names load on first use, so that importing a package costs nearly nothing."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["exports"]


def exports(package: str, modules: Mapping[str, str]) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """The ``__getattr__`` and ``__dir__`` of a package whose names are defined in other modules.

    Args:
        package: the package's ``__name__``. The package must be loaded.
        modules: the module that defines each public name. A submodule of the package maps to itself.

    Returns:
        ``__getattr__``, which imports the module of a name and keeps the value in the package, and ``__dir__``.
        ``__getattr__`` raises AttributeError for a name that is not in ``modules``.

    >>> import plsync
    >>> getter, _ = exports("plsync", {"Journal": "plsync.journal.journal"})
    >>> getter("Journal").__name__
    'Journal'
    """
    namespace = sys.modules[package]

    def get(name: str) -> Any:
        path = modules.get(name)
        if path is None:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(path)
        value = module if path == f"{package}.{name}" else getattr(module, name)
        setattr(namespace, name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(namespace), *modules})

    return get, names
