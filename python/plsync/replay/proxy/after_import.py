"""Runs a function as soon as the program imports a module. The libraries that plsync patches are optional."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Final

__all__ = ["AfterImport"]


class AfterImport(MetaPathFinder):
    """Runs a function with a module that is imported later. ``install`` and ``remove`` may be called repeatedly."""

    def __init__(self, module: str, action: Callable[[ModuleType], object]) -> None:
        """Prepares the hook.

        Args:
            module: the full name of the module.
            action: receives the module.
        """
        self._module: Final = module
        self._action = action

    def install(self) -> None:
        """Run the function now if the module is imported, or else at its import."""
        if (module := sys.modules.get(self._module)) is not None:
            self._action(module)
        elif self not in sys.meta_path:
            sys.meta_path.insert(0, self)

    def remove(self) -> None:
        """Wait no longer for the import."""
        if self in sys.meta_path:
            sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of the module, whose loader runs the function."""
        if fullname != self._module:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            spec.loader = _Loader(spec.loader, self._action)
        return spec


class _Loader(Loader):
    def __init__(self, loader: Loader, action: Callable[[ModuleType], object]) -> None:
        self._loader = loader
        self._action = action

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        # The module looks as if the original loader had found it.
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        self._action(module)
