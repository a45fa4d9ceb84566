"""Every client of embeddings that the tests drive against its wire format."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.support.wire import bedrock, cohere, google, ollama, openai
from tests.support.wire.clients import MODEL
from tests.support.wire.server import Answer, Format


class EmbeddingClient(NamedTuple):
    """A client: the module of its class, a function that makes it from the class and a URL, and the wire format."""

    name: str
    module: str
    make: Callable[[Any, str], Any]
    answer: Format
    failure: Answer

    @property
    def installed(self) -> bool:
        return importlib.util.find_spec(self.module) is not None

    def model(self, url: str) -> Any:
        return self.make(getattr(importlib.import_module(self.module), self.name), url)


def _openai(**settings: Any) -> Callable[[Any, str], Any]:
    return lambda cls, url: cls(model=MODEL, api_key="x", base_url=f"{url}/v1", **settings)


def _azure(cls: Any, url: str) -> Any:
    # Otherwise the client downloads a tokenizer.
    settings = {"check_embedding_ctx_length": False, "max_retries": 0}
    return cls(model=MODEL, api_key="x", azure_endpoint=url, api_version="2026-01-01", **settings)


def _aws(cls: Any, url: str) -> Any:
    config = importlib.import_module("botocore.config").Config(retries={"max_attempts": 0})
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    return cls(model_id="amazon.titan-embed-text-v2:0", endpoint_url=url, config=config, **keys)


def _mistral(cls: Any, url: str) -> Any:
    # It looks for a tokenizer at Hugging Face, unless it has one.
    words = importlib.import_module("tokenizers.models").WordLevel({"word": 0}, unk_token="word")  # noqa: S106 - a word
    tokenizer = importlib.import_module("tokenizers").Tokenizer(words)
    return cls(model=MODEL, api_key="x", endpoint=f"{url}/v1/", max_retries=1, tokenizer=tokenizer)


EMBEDDINGS = [
    EmbeddingClient(
        "OpenAIEmbeddings",
        "langchain_openai",
        _openai(check_embedding_ctx_length=False, max_retries=0),
        openai.answer,
        openai.FAILURE,
    ),
    EmbeddingClient("AzureOpenAIEmbeddings", "langchain_openai", _azure, openai.answer, openai.FAILURE),
    EmbeddingClient(
        "GoogleGenerativeAIEmbeddings",
        "langchain_google_genai",
        lambda cls, url: cls(model="models/gemini-embedding-001", google_api_key="x", base_url=url),
        google.answer,
        google.FAILURE,
    ),
    EmbeddingClient(
        "OllamaEmbeddings",
        "langchain_ollama",
        lambda cls, url: cls(model=MODEL, base_url=url),
        ollama.answer,
        ollama.FAILURE,
    ),
    EmbeddingClient("MistralAIEmbeddings", "langchain_mistralai", _mistral, openai.answer, openai.FAILURE),
    EmbeddingClient("BedrockEmbeddings", "langchain_aws", _aws, bedrock.answer, bedrock.FAILURE),
    EmbeddingClient(
        "CohereEmbeddings",
        "langchain_cohere",
        lambda cls, url: cls(model=MODEL, cohere_api_key="x", base_url=url, max_retries=1),
        cohere.answer,
        cohere.FAILURE,
    ),
    EmbeddingClient(
        "LiteLLMEmbeddings",
        "langchain_litellm",
        lambda cls, url: cls(model=f"openai/{MODEL}", api_key="x", api_base=f"{url}/v1", max_retries=0),
        openai.answer,
        openai.FAILURE,
    ),
    EmbeddingClient("TogetherEmbeddings", "langchain_together", _openai(max_retries=0), openai.answer, openai.FAILURE),
    EmbeddingClient("NVIDIAEmbeddings", "langchain_nvidia_ai_endpoints", _openai(), openai.answer, openai.FAILURE),
]
