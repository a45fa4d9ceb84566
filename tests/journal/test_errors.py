"""The tree in the docstring of ``plsync.errors`` has every error, at its place."""

from __future__ import annotations

import re

from plsync import errors


def documented_bases() -> dict[str, str]:
    """The base of each class in the tree of the docstring."""
    bases: dict[str, str] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ([│├└─ ]*)(\w+)(  .*)?$", line)
        if found is None or not hasattr(errors, found[2]):
            continue
        depth = len(found[1]) // 4
        path[depth:] = [found[2]]
        if depth:
            bases[found[2]] = path[depth - 1]
    return bases


def test_the_tree_of_errors_is_complete() -> None:
    assert documented_bases().keys() == set(errors.__all__) - {"PlsyncError", "PlsyncWarning"}


def test_the_tree_of_errors_has_the_bases_of_each_class() -> None:
    bases = documented_bases()
    assert [name for name, base in bases.items() if not issubclass(getattr(errors, name), getattr(errors, base))] == []
    nearest = {
        name: next(base.__name__ for base in getattr(errors, name).__mro__[1:] if base.__name__ in errors.__all__)
        for name in bases
    }
    assert nearest == bases
