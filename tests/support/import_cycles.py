"""Finds import cycles."""

from __future__ import annotations

from collections.abc import Mapping, Set


def import_cycles(imports: Mapping[str, Set[str]]) -> list[list[str]]:
    """The groups of modules that import each other, directly or through others.

    >>> import_cycles({"a": {"b"}, "b": {"c"}, "c": {"b"}})
    [['b', 'c']]
    """
    reached = {module: _reached(imports, module) for module in imports}
    groups = {
        tuple(sorted({other for other in found if module in reached.get(other, ())}))
        for module, found in reached.items()
        if module in found
    }
    return sorted(map(list, groups))


def _reached(imports: Mapping[str, Set[str]], module: str) -> set[str]:
    found: set[str] = set()
    left = [module]
    while left:
        for target in imports.get(left.pop(), ()):
            if target not in found:
                found.add(target)
                left.append(target)
    return found
