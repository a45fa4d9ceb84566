"""The examples in the docstrings of the journal, the handler and the helpers run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import plsync

ROOT = Path(plsync.__file__).parent
PACKAGES = ("_common", "journal", "journal.events", "recorder")
MODULES = [
    "plsync.errors",
    "plsync.track",
    *(
        f"plsync.{package}.{module.name}"
        for package in PACKAGES
        for module in pkgutil.iter_modules([str(ROOT.joinpath(*package.split(".")))])
        if not module.ispkg
    ),
    *(f"plsync.{package}" for package in PACKAGES),
]


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PLSYNC_JOURNAL", str(tmp_path / "journal"))
    assert doctest.testmod(importlib.import_module(name)).failed == 0
