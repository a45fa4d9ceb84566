"""LangChain's official suites for chat models and embeddings, with a recording; ``test_standard.py`` runs them.

``PLSYNC_SUITE`` chooses the run. ``recorded`` calls the server at ``OPENAI_BASE_URL``. In ``replayed``, a live call
fails.
"""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel
from langchain_openai import ChatOpenAI, OpenAIEmbeddings
from langchain_tests.integration_tests import ChatModelIntegrationTests, EmbeddingsIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests, EmbeddingsUnitTests

from plsync.replay import Recording
from plsync.replay.proxy.wrap import proxy_class_for
from tests.support.replaying import poisoned_class

REPLAYED = os.environ["PLSYNC_SUITE"] == "replayed"
LIVE: Any = poisoned_class(ChatOpenAI) if REPLAYED else ChatOpenAI
LIVE_EMBEDDINGS: Any = poisoned_class(OpenAIEmbeddings) if REPLAYED else OpenAIEmbeddings


class Recorded:
    """The settings of both suites: a model whose proxy class uses the recording of the test."""

    @pytest.fixture(autouse=True)
    def recording(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
        # The suites download their pictures.
        monkeypatch.setattr(httpx, "get", lambda *_, **__: SimpleNamespace(content=b"a picture " * 500))
        path = Path(os.environ["PLSYNC_RECORDINGS"]) / f"{type(self).__name__}.{request.node.name}.jsonl"
        with Recording(path, mode="none" if REPLAYED else "all") as recording:
            self._recording = recording
            yield
        assert REPLAYED or not recording.unused()

    @property
    def chat_model_class(self) -> type[BaseChatModel]:
        return proxy_class_for(LIVE, self._recording).cls

    @property
    def embeddings_class(self) -> type[Embeddings]:
        return proxy_class_for(LIVE_EMBEDDINGS, self._recording).cls

    @property
    def embedding_model_params(self) -> dict[str, Any]:
        return {"model": "text-embedding-3-small", "api_key": "none", "check_embedding_ctx_length": False}

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"model": "gpt-4o-mini", "api_key": "none", "stream_usage": True}

    supports_json_mode = supports_image_inputs = supports_image_urls = supports_pdf_inputs = True
    supports_audio_inputs = supports_image_tool_message = supports_pdf_tool_message = True
    supports_anthropic_inputs = supports_model_override = True
    model_override_value = "gpt-4o"


class TestUnit(Recorded, ChatModelUnitTests):
    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        return {"OPENAI_API_KEY": "none"}, {"model": "gpt-4o-mini"}, {"openai_api_key": "none"}


class TestIntegration(Recorded, ChatModelIntegrationTests):
    pass


class TestEmbeddingsUnit(Recorded, EmbeddingsUnitTests):
    pass


class TestEmbeddingsIntegration(Recorded, EmbeddingsIntegrationTests):
    pass
