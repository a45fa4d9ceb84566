"""A source journal with recorded calls, and a loopback server for the other model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_openai import ChatOpenAI

from plsync import PromptLayerCallbackHandler
from tests.support.openai_server import OpenAIServer

OTHER = "openai:other-model"


@pytest.fixture
def openai_server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def provider(openai_server: OpenAIServer, monkeypatch: pytest.MonkeyPatch) -> OpenAIServer:
    """The server, found by the variables of OpenAI's client."""
    monkeypatch.setenv("OPENAI_BASE_URL", openai_server.url)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-loopback")
    return openai_server


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tmp_path / "source"


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "into"


@pytest.fixture
def model(provider: OpenAIServer, source: Path) -> Any:
    """A model whose calls are recorded in the source journal."""
    handler = PromptLayerCallbackHandler(journal=source)
    return ChatOpenAI(model="recorded-model", callbacks=[handler], max_retries=0)
