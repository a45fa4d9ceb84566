"""Two machines with a stick between them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from plsync.testing import PromptLayerServer
from tests.support.gap import Gap


@pytest.fixture
def gap(
    tmp_path: Path,
    server: PromptLayerServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Gap]:
    made = Gap(tmp_path, server, monkeypatch, capsys)
    yield made
    made.writer.close()
