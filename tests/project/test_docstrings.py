"""The examples in the docstrings of the package run."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest

import plsync
from plsync import Journal

ROOT = Path(plsync.__file__).parent
MODULES = sorted(
    ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in ROOT.rglob("*.py")
    if ">>>" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLSYNC_JOURNAL", str(tmp_path / "journal"))
    Journal.open(create=True).close()
    result = doctest.testmod(importlib.import_module(name))
    assert (result.attempted > 0, result.failed) == (True, 0)
