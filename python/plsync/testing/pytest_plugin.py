"""Fixtures for the tests of programs that use plsync or PromptLayer; pytest finds them where plsync is installed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from plsync.testing import PromptLayerServer

__all__ = ["plsync_journal", "promptlayer_server"]


@pytest.fixture
def promptlayer_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PromptLayerServer]:
    """A PromptLayer on loopback, and ``PROMPTLAYER_BASE_URL`` and ``PROMPTLAYER_API_KEY`` set to reach it."""
    from plsync.testing import PromptLayerServer  # noqa: PLC0415 - every suite loads this file, few need a server

    with PromptLayerServer() as server:
        monkeypatch.setenv("PROMPTLAYER_BASE_URL", server.url)
        monkeypatch.setenv("PROMPTLAYER_API_KEY", server.api_key)
        yield server


@pytest.fixture
def plsync_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where this test's journal is; ``PLSYNC_JOURNAL`` names it. It is created by the first call that is recorded."""
    path = tmp_path / "plsync-journal"
    monkeypatch.setenv("PLSYNC_JOURNAL", str(path))
    return path
