"""Finds a module and its file without running it, and reads whether it has a name."""

from __future__ import annotations

import ast
import os
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from importlib.machinery import ExtensionFileLoader, ModuleSpec, PathFinder
from pathlib import Path
from typing import Any, Final

__all__ = ["find_module", "is_standard", "may_define"]

_PACKAGES: Final = {"site-packages", "dist-packages"}


def find_module(name: str, last_places: Sequence[str] = ()) -> ModuleSpec | None:
    """The specification of a module as an import would find it; None if there is none. Runs no parent package.

    Args:
        name: the dotted name.
        last_places: directories that are searched behind ``sys.path``.
    """
    loaded = getattr(sys.modules.get(name), "__spec__", None)
    if isinstance(loaded, ModuleSpec):
        return loaded
    parts = name.split(".")
    places: Sequence[str] | None = None
    spec = None
    for length in range(1, len(parts) + 1):
        try:
            spec = _find(".".join(parts[:length]), places, last_places)
        except KeyError:  # a namespace package reads its path from its parent package, which is not imported here
            spec = _namespace(".".join(parts[:length]), places or ())
        if spec is None:
            return None
        found: Any = spec.submodule_search_locations
        # The iterator of a namespace package's path reads the parent, too.
        places = list(getattr(found, "_path", found) or ())
    return spec


def _namespace(name: str, places: Sequence[str]) -> ModuleSpec:
    spec = ModuleSpec(name, None)
    spec.submodule_search_locations = [os.path.join(place, name.rpartition(".")[2]) for place in places]
    return spec


def _find(name: str, places: Sequence[str] | None, last_places: Sequence[str]) -> ModuleSpec | None:
    for finder in sys.meta_path:
        if finder is PathFinder and places is None:
            spec = PathFinder.find_spec(name, [*sys.path, *last_places])
        else:
            find: Any = getattr(finder, "find_spec", None)
            spec = find(name, places) if find else None
        if spec is not None:
            return spec
    return None


def is_standard(spec: ModuleSpec) -> bool:
    """Whether a module belongs to Python or to plsync, and not to an application or its packages."""
    if spec.name.partition(".")[0] in {*sys.stdlib_module_names, "__main__", "plsync", "test"}:
        return True
    if not spec.has_location or spec.origin is None:  # built in, frozen, or a namespace package
        return spec.submodule_search_locations is None
    file = Path(spec.origin).resolve()
    for kind in ("stdlib", "platstdlib"):
        library = Path(sysconfig.get_path(kind)).resolve()
        if library in file.parents and not _PACKAGES & set(file.relative_to(library).parts):
            return True
    return False


def may_define(spec: ModuleSpec, name: str) -> bool:
    """Whether the module may have a function of this name, as far as its source shows. False is certain."""
    if isinstance(spec.loader, ExtensionFileLoader):  # its functions are not written in Python
        return False
    read: Any = getattr(spec.loader, "get_source", None)
    try:
        source = read(spec.name) if read else None
        statements = None if source is None else ast.parse(source).body
        # The import of a module that raises reports the reason, which helps more than a missing name.
        if statements is None or any(isinstance(statement, ast.Raise) for statement in statements):
            return True
        return not {name, "*", "__getattr__"}.isdisjoint(_bound(statements))
    except (ImportError, SyntaxError, ValueError, RecursionError, MemoryError):  # the import fails, and has the reason
        return True


def _bound(statements: Sequence[ast.AST]) -> Iterator[str]:
    """The names that statements of a module bind, and ``*`` for names that the source does not show."""
    for statement in statements:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield statement.name
            continue
        if isinstance(statement, (ast.Lambda, ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
            continue
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in statement.names)
        elif isinstance(statement, ast.Name):
            if isinstance(statement.ctx, ast.Store):
                yield statement.id
            # The names that such a call binds are not in the source.
            elif statement.id in {"exec", "globals", "vars", "locals", "setattr"}:
                yield "*"
        elif isinstance(statement, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and statement.name:
            yield statement.name
        yield from _bound(list(ast.iter_child_nodes(statement)))
