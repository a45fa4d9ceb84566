"""A directory in which whole runs of pytest take place."""

from __future__ import annotations

import sys
from functools import partial

import pytest

from tests.support.commands import PYTEST_QUICKLY
from tests.support.pytest_runs import live, popen


@pytest.fixture
def tests(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A directory with a model that replies ``Paris``; ``live`` changes the reply."""
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(pytester.path))
    # A file written twice within a second looks unchanged to Python's cache of compiled ones.
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    options = f"-p no:cacheprovider {PYTEST_QUICKLY}"
    loop = "asyncio_mode = auto\nasyncio_default_fixture_loop_scope = function"
    pytester.makeini(f"[pytest]\naddopts = {options} --strict-markers\n{loop}")
    monkeypatch.setattr(pytester, "popen", partial(popen, pytester))
    live(pytester, "Paris")
    return pytester
