"""Every client that the tests drive against its wire format, and how it is made."""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plsync.testing.tiny_model import write_tiny_model
from tests.support.wire import anthropic, bedrock, cohere, google, ollama, openai
from tests.support.wire.server import OUTPUT_TOKENS, TEXT, Answer, Format

MODEL = "model-1"


@dataclass(frozen=True)
class Client:
    """A client of a provider.

    Attributes:
        name: its name in the table.
        module: the module of its class.
        make: takes the class and the URL of the server.
        answer, failure: the wire format; None for a model that runs in the process.
        lacks: the columns that the client does not offer.
        needs: a further package that it loads.
        whole_only: the columns that the client offers for whole answers alone, and not in streams.
        output_tokens: the tokens that it reports: xAI counts reasoning beside the output.
    """

    name: str
    module: str
    make: Callable[[Any, str], Any]
    answer: Format | None
    failure: Answer | None
    lacks: frozenset[str] = frozenset()
    needs: str | None = None
    whole_only: frozenset[str] = frozenset()
    output_tokens: int = OUTPUT_TOKENS

    @property
    def class_name(self) -> str:
        return self.name.partition(" ")[0]

    @property
    def installed(self) -> bool:
        packages = (self.module.partition(".")[0], *([self.needs] if self.needs else []))
        return all(importlib.util.find_spec(package) is not None for package in packages)

    def model(self, url: str) -> Any:
        return self.make(getattr(importlib.import_module(self.module), self.class_name), url)


def _openai(**settings: Any) -> Callable[[Any, str], Any]:
    return lambda cls, url: cls(model=MODEL, api_key="x", base_url=f"{url}/v1", max_retries=0, **settings)


def _azure(cls: Any, url: str) -> Any:
    settings = {"azure_endpoint": url, "api_version": "2026-01-01", "azure_deployment": MODEL}
    return cls(**settings, model=MODEL, api_key="x", max_retries=0)


def _aws(cls: Any, url: str) -> Any:
    config = importlib.import_module("botocore.config").Config(retries={"max_attempts": 0})
    keys = {"aws_access_key_id": "x", "aws_secret_access_key": "x", "region_name": "us-east-1"}
    return cls(model="anthropic.claude-3-haiku-20240307-v1:0", endpoint_url=url, config=config, **keys)


def _gpt4all(cls: Any, _url: str) -> Any:
    # One thread, because the threads of GPT4All wait by spinning.
    path = write_tiny_model(Path(tempfile.mkdtemp()) / "tiny.gguf", answers={"capital": TEXT})
    return cls(model=str(path), n_threads=1)


TEXT_ONLY = frozenset({"tools", "structured"})

CLIENTS = [
    Client("ChatOpenAI", "langchain_openai", _openai(stream_usage=True), openai.answer, openai.FAILURE),
    Client(
        "ChatOpenAI (Responses)", "langchain_openai", _openai(use_responses_api=True), openai.answer, openai.FAILURE
    ),
    Client(
        "OpenAI",
        "langchain_openai",
        _openai(),
        openai.answer,
        openai.FAILURE,
        TEXT_ONLY,
        whole_only=frozenset({"usage"}),
    ),
    Client("AzureChatOpenAI", "langchain_openai", _azure, openai.answer, openai.FAILURE),
    Client(
        "ChatAnthropic",
        "langchain_anthropic",
        lambda cls, url: cls(model=MODEL, api_key="x", base_url=url, max_retries=0),
        anthropic.answer,
        anthropic.FAILURE,
    ),
    Client(
        "ChatGoogleGenerativeAI",
        "langchain_google_genai",
        lambda cls, url: cls(model="gemini-2.5-flash", api_key="x", base_url=url, max_retries=1),
        google.answer,
        google.FAILURE,
    ),
    Client(
        "GoogleGenerativeAI",
        "langchain_google_genai",
        lambda cls, url: cls(model="gemini-2.5-flash", google_api_key="x", base_url=url, max_retries=1),
        google.answer,
        google.FAILURE,
        TEXT_ONLY,
        whole_only=frozenset({"usage"}),
    ),
    Client(
        "ChatOllama", "langchain_ollama", lambda cls, url: cls(model=MODEL, base_url=url), ollama.answer, ollama.FAILURE
    ),
    Client(
        "OllamaLLM",
        "langchain_ollama",
        lambda cls, url: cls(model=MODEL, base_url=url),
        ollama.answer,
        ollama.FAILURE,
        TEXT_ONLY,
    ),
    Client(
        "ChatMistralAI",
        "langchain_mistralai",
        lambda cls, url: cls(model=MODEL, api_key="x", base_url=f"{url}/v1", max_retries=0),
        openai.answer,
        openai.FAILURE,
    ),
    Client(
        "ChatGroq",
        "langchain_groq",
        lambda cls, url: cls(model=MODEL, api_key="x", base_url=url, max_retries=0),
        openai.answer,
        openai.FAILURE,
    ),
    Client(
        "ChatDeepSeek",
        "langchain_deepseek",
        lambda cls, url: cls(model=MODEL, api_key="x", api_base=f"{url}/v1", max_retries=0, stream_usage=True),
        openai.answer,
        openai.FAILURE,
    ),
    Client(
        "ChatXAI",
        "langchain_xai",
        lambda cls, url: cls(model=MODEL, api_key="x", base_url=f"{url}/v1", max_retries=0, stream_usage=True),
        openai.answer,
        openai.FAILURE,
        output_tokens=OUTPUT_TOKENS + 1,
    ),
    Client("ChatBedrockConverse", "langchain_aws", _aws, bedrock.answer, bedrock.FAILURE),
    Client("ChatBedrock", "langchain_aws", _aws, bedrock.answer, bedrock.FAILURE),
    Client(
        "ChatZhipuAI",
        "langchain_community.chat_models",
        lambda cls, url: cls(model=MODEL, api_key="a.b", zhipuai_api_base=f"{url}/chat/completions"),
        openai.answer,
        openai.FAILURE,
        needs="jwt",
    ),
    Client(
        "ChatLiteLLM",
        "langchain_litellm",
        lambda cls, url: cls(
            model=f"openai/{MODEL}", api_key="x", api_base=f"{url}/v1", max_retries=0, stream_usage=True
        ),
        openai.answer,
        openai.FAILURE,
    ),
    Client(
        "ChatCohere",
        "langchain_cohere",
        lambda cls, url: cls(model=MODEL, cohere_api_key="x", base_url=url),
        cohere.answer,
        cohere.FAILURE,
        whole_only=frozenset({"tools"}),
    ),
    Client(
        "ChatTogether",
        "langchain_together",
        lambda cls, url: cls(model=MODEL, api_key="x", base_url=f"{url}/v1", max_retries=0, stream_usage=True),
        openai.answer,
        openai.FAILURE,
    ),
    Client(
        "ChatFireworks",
        "langchain_fireworks",
        lambda cls, url: cls(model=MODEL, api_key="x", base_url=f"{url}/v1", max_retries=0),
        openai.answer,
        openai.FAILURE,
    ),
    Client(
        "ChatNVIDIA",
        "langchain_nvidia_ai_endpoints",
        lambda cls, url: cls(model=MODEL, api_key="x", base_url=f"{url}/v1"),
        openai.answer,
        openai.FAILURE,
    ),
    Client(
        "ChatLlama",
        "langchain_llama_cpp",
        lambda cls, url: cls(model=MODEL, base_url=f"{url}/v1"),
        openai.answer,
        openai.FAILURE,
    ),
    Client(
        "GPT4All",
        "langchain_community.llms",
        _gpt4all,
        None,
        None,
        TEXT_ONLY | {"usage", "error", "cancel"},
        needs="gpt4all",
    ),
]
