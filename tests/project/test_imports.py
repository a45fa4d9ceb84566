"""The rules of imports that hold at start-up.

``lint-imports`` checks the rest; pyproject.toml has its contracts.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

from tests.support.import_cycles import import_cycles
from tests.support.root import ROOT

SOURCE = ROOT / "python"

# Every program that records pays for these imports.
NOT_FOR_THE_HANDLER = {
    "httpx",
    "langchain_core.language_models",
    "plsync.delivery",
    "plsync.promptlayer",
    "plsync.replay",
    "promptlayer",
}


def loaded(*modules: str) -> set[str]:
    """The modules that load with these modules, and the names that they import from other packages."""
    found: set[str] = set()
    left = list(modules)
    while left:
        name = left.pop()
        parts = name.split(".")
        for name in (".".join(parts[:length]) for length in range(1, len(parts) + 1)):
            if name not in found:
                found.add(name)
                left += _imported(name)
    return found


def _imported(module: str) -> Iterator[str]:
    place = SOURCE.joinpath(*module.split("."))
    path = next((path for path in (place.with_suffix(".py"), place / "__init__.py") if path.is_file()), None)
    if path and module.startswith("plsync"):
        yield from _at_start(ast.parse(path.read_text(encoding="utf-8")).body)


def _at_start(statements: list[ast.stmt]) -> Iterator[str]:
    """The names that statements import when they run: neither in functions nor for type checkers alone."""
    for statement in statements:
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names)
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            yield from (f"{statement.module}.{alias.name}" for alias in statement.names)
        elif isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING":
            yield from _at_start(statement.orelse)
        elif not isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
            parts = [part for name in ("body", "orelse", "finalbody") for part in getattr(statement, name, [])]
            yield from _at_start(parts)


def _modules(package: str) -> list[str]:
    found = [path.relative_to(SOURCE).with_suffix("") for path in sorted((SOURCE / package).rglob("*.py"))]
    return [".".join(path.parts).removesuffix(".__init__") for path in found]


def test_the_handler_loads_no_network_no_delivery_and_no_model_classes() -> None:
    assert not loaded(*_modules("plsync/recorder")) & NOT_FOR_THE_HANDLER


@pytest.mark.parametrize("package", ["plsync/cli", "plsync/delivery", "plsync/callbacks", "plsync/promptlayer"])
def test_a_package_that_works_on_records_loads_no_langchain(package: str) -> None:
    assert not {name for name in loaded(*_modules(package)) if name.startswith("langchain")}


@pytest.mark.parametrize("plugin", ["plsync.replay.pytest_plugin", "plsync.testing.pytest_plugin"])
def test_a_pytest_plugin_loads_nothing_until_it_is_used(plugin: str) -> None:
    assert not {"httpx", "langchain_core", "plsync._native", "pydantic"} & loaded(plugin)


def test_the_files_of_the_package_have_no_import_cycle() -> None:
    graph = grimp.build_graph("plsync", exclude_type_checking_imports=True, cache_dir=None)
    found = import_cycles({module: graph.find_modules_directly_imported_by(module) for module in graph.modules})
    assert found == []


def test_an_import_counts_unless_a_function_or_a_type_checker_makes_it(tmp_path: Path) -> None:
    lines = [
        "import a.b",
        "if TYPE_CHECKING:",
        "    import c",
        "else:",
        "    from d import e",
        "def f():",
        "    import g",
        "try:",
        "    import h",
        "finally:",
        "    import i",
    ]
    assert set(_at_start(ast.parse("\n".join(lines)).body)) == {"a.b", "d.e", "h", "i"}
