"""pytest fixtures for programs that use plsync or PromptLayer. pytest finds them where plsync is installed."""

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
    """A PromptLayer stand-in on loopback; sets ``PROMPTLAYER_BASE_URL`` and ``PROMPTLAYER_API_KEY`` to reach it."""
    from plsync.testing import PromptLayerServer  # noqa: PLC0415 - every suite loads this file, few need a server

    with PromptLayerServer() as server:
        monkeypatch.setenv("PROMPTLAYER_BASE_URL", server.url)
        monkeypatch.setenv("PROMPTLAYER_API_KEY", server.api_key)
        yield server


@pytest.fixture
def plsync_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The path of this test's journal; sets ``PLSYNC_JOURNAL`` to it. The first recorded call creates the journal."""
    path = tmp_path / "plsync-journal"
    monkeypatch.setenv("PLSYNC_JOURNAL", str(path))
    return path
