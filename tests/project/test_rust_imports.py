"""The files of a Rust crate have no import cycle. The imports are its ``use`` lines and the paths in its code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.import_cycles import import_cycles
from tests.support.root import ROOT

Names = tuple[str, ...]
"""A module or a path, without ``crate``: ``("store", "outbox")``. The root of the crate is ``()``."""


class Crate:
    """The modules of a crate, and the files that each of them imports."""

    def __init__(self, source: Path) -> None:
        self._code = {_module(path.relative_to(source)): _code(path) for path in sorted(source.rglob("*.rs"))}
        self._exported = {module: dict(self._exports(module)) for module in self._code}

    def imports(self) -> dict[str, set[str]]:
        """The modules that each module imports. Who uses a re-exported name imports the module that defines it."""
        return {
            "::".join(module) or "crate": {"::".join(found) or "crate" for found in self._targets(module)}
            for module in self._code
        }

    def _targets(self, module: Names) -> Iterator[Names]:
        for public, path in _paths(self._code[module]):
            if not public and (found := self._defined(self._absolute(module, path))) != module:
                yield found

    def _exports(self, module: Names) -> Iterator[tuple[str, Names]]:
        for _, path in _paths(self._code[module]):
            yield path[-1], self._absolute(module, path)

    def _absolute(self, module: Names, path: Names) -> Names:
        if path[0] == "crate":
            return path[1:]
        while path and path[0] in {"self", "super"}:
            module, path = module[: len(module) - (path[0] == "super")], path[1:]
        return module + path

    def _defined(self, path: Names, depth: int = 8) -> Names:
        """The module that defines a name. A name of another crate belongs to the module that imports it."""
        module = next(path[:length] for length in range(len(path), -1, -1) if path[:length] in self._code)
        rest = path[len(module) :]
        if not rest:
            return module
        exported = self._exported[module].get(rest[0])
        if exported and depth and exported != path[: len(module) + 1]:
            return self._defined(exported + rest[1:], depth - 1)
        return module


def _module(path: Path) -> Names:
    names = (*path.parts[:-1], path.stem)
    return names[:-1] if path.stem in {"mod", "lib"} else names


def _code(path: Path) -> str:
    """A file without comments and strings, where ``super`` in an inline module has become ``self``."""
    text = re.sub(r"//[^\n]*", "", path.read_text(encoding="utf-8"))
    text = re.sub(r'"(?:[^"\\]|\\.)*"', '""', text)
    inline = re.compile(r"^(?:pub(?:\(\w+\))? )?mod \w+ \{\n.*?^\}", re.MULTILINE | re.DOTALL)
    return inline.sub(lambda found: found[0].replace("super::", "self::"), text)


def _paths(code: str) -> Iterator[tuple[bool, Names]]:
    """Every path that a file imports or spells out, and whether it is a re-export."""
    statement = re.compile(r"^\s*(?P<public>pub(?:\(\w+\))? )?use (?P<tree>[^;]+);", re.MULTILINE)
    for found in statement.finditer(code):
        for path in _expanded(found["tree"]):
            yield bool(found["public"]), path
    heads = "|".join(["crate", "super", "self", *re.findall(r"\bmod (\w+);", code)])
    for found in re.finditer(rf"(?<![\w:])(?:{heads})(?:::\w+)+", statement.sub("", code)):
        yield False, tuple(found[0].split("::"))


def _expanded(tree: str) -> Iterator[Names]:
    """The paths of a ``use`` tree: ``a::{b, c::d as e}`` is ``a::b`` and ``a::c::d``."""
    head, brace, rest = "".join(re.sub(r"\s+as\s+\w+", "", tree).split()).partition("{")
    prefix = tuple(part for part in head.split("::") if part)
    if not brace:
        yield prefix
        return
    depth, start = 0, 0
    for at, sign in enumerate(rest):
        depth += (sign == "{") - (sign == "}")
        if (sign == "," and depth == 0) or depth < 0:
            for path in _expanded(rest[start:at]) if rest[start:at] else ():
                yield prefix if path == ("self",) else prefix + path
            start = at + 1


@pytest.mark.parametrize("crate", ["bundle", "journal", "python"])
def test_the_files_of_a_crate_have_no_import_cycle(crate: str) -> None:
    assert import_cycles(Crate(ROOT / "rust" / crate / "src").imports()) == []


def test_a_cycle_is_found_through_a_re_export_and_a_nested_use(tmp_path: Path) -> None:
    (tmp_path / "lib.rs").write_text("mod a;\nmod b;\npub use a::{self, inner::Thing};\n", encoding="utf-8")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "mod.rs").write_text("pub mod inner;\n", encoding="utf-8")
    (tmp_path / "a" / "inner.rs").write_text("use crate::{std, b::{Other as Else}};\n", encoding="utf-8")
    (tmp_path / "b.rs").write_text("// use crate::a;\nfn f() -> crate::Thing {}\n", encoding="utf-8")
    assert import_cycles(Crate(tmp_path).imports()) == [["a::inner", "b"]]
