"""OpenAI's LangChain classes against a server of OpenAI's API: the record, and its form for PromptLayer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from langchain_openai import ChatOpenAI, OpenAI
from openai import APIConnectionError, APIError, RateLimitError

from plsync import PromptLayerCallbackHandler
from plsync.promptlayer.mapping.blueprint import span
from tests.support.models import records, texts
from tests.support.openai_server import TOOL_ARGUMENTS, OpenAIServer

KEY = "sk-a-key-that-is-nobodys"


@pytest.fixture
def server() -> Iterator[OpenAIServer]:
    with OpenAIServer() as server:
        yield server


@pytest.fixture
def settings(server: OpenAIServer, path: Path) -> dict[str, Any]:
    handler = PromptLayerCallbackHandler(journal=path)
    return {"base_url": server.url, "api_key": KEY, "max_retries": 0, "callbacks": [handler]}


def weather(city: str) -> str:
    """The weather in a city."""
    return "sunny"


def spooled(path: Path) -> bytes:
    """The bytes that the handler wrote."""
    return b"".join(segment.read_bytes() for segment in (path / "spool").glob("*.seg"))


def test_a_chat_completion(settings: dict[str, Any], path: Path) -> None:
    ChatOpenAI(model="gpt-4o-mini", temperature=0.5, **settings).invoke("The capital of France?")
    (record,) = records(path)
    assert (record.kind, record.class_name, record.provider) == ("chat", "ChatOpenAI", "openai")
    assert (record.status, record.model, texts(record)) == ("ok", "gpt-4o-mini", ["Paris is it."])
    assert record.usage is not None
    assert (record.usage["input_tokens"], record.usage["output_tokens"]) == (8, 2)
    sent = span(record)["log_request"]
    assert (sent["provider"], sent["model"], sent["api_type"]) == ("openai", "gpt-4o-mini", "chat-completions")
    assert (sent["status"], sent["input_tokens"], sent["output_tokens"]) == ("SUCCESS", 8, 2)
    assert sent["parameters"]["temperature"] == 0.5
    assert sent["metadata"].items() >= {"input_token_details.cache_read": "3"}.items()


async def test_an_async_call_is_the_same(settings: dict[str, Any], path: Path) -> None:
    await ChatOpenAI(model="gpt-4o-mini", **settings).ainvoke("The capital of France?")
    (record,) = records(path)
    assert (record.status, texts(record)) == ("ok", ["Paris is it."])
    assert span(record)["log_request"]["input_tokens"] == 8


def test_a_stream_with_usage(settings: dict[str, Any], path: Path) -> None:
    list(ChatOpenAI(model="gpt-4o-mini", stream_usage=True, **settings).stream("The capital of France?"))
    (record,) = records(path)
    assert (record.status, texts(record)) == ("ok", ["Paris is it."])
    assert record.first_token_at is not None
    assert record.chunk_times is not None
    assert len(record.chunk_times) >= len(["Paris ", "is ", "it."])
    sent = span(record)["log_request"]
    assert (sent["api_type"], sent["input_tokens"], sent["output_tokens"]) == ("chat-completions", 8, 2)


@pytest.mark.parametrize("way", ["invoke", "stream"])
def test_a_tool_call(way: str, settings: dict[str, Any], path: Path) -> None:
    model = ChatOpenAI(model="gpt-4o-mini", **settings).bind_tools([weather], tool_choice="weather")
    answer = getattr(model, way)("The weather in Paris?")
    assert list(answer)
    (record,) = records(path)
    assert [(call["name"], call["args"]) for call in record.tool_calls] == [("weather", TOOL_ARGUMENTS)]
    sent = span(record)["log_request"]
    assert [tool["function"]["name"] for tool in sent["input"]["tools"]] == ["weather"]
    assert sent["input"]["tool_choice"] == {"type": "function", "function": {"name": "weather"}}
    (call,) = sent["output"]["messages"][0]["tool_calls"]
    assert (call["id"], call["function"]["name"]) == ("call_1", "weather")
    assert sent["status"] == "SUCCESS"


def test_a_text_completion(settings: dict[str, Any], path: Path) -> None:
    OpenAI(model="gpt-3.5-turbo-instruct", **settings).invoke("The capital of France?")
    (record,) = records(path)
    assert (record.kind, record.input, texts(record)) == ("llm", ["The capital of France?"], ["Paris is it."])
    sent = span(record)["log_request"]
    assert (sent["provider"], sent["model"]) == ("openai", "gpt-3.5-turbo-instruct")
    assert "api_type" not in sent
    assert (sent["input"]["type"], sent["input_tokens"], sent["output_tokens"]) == ("completion", 8, 2)


def test_an_answer_of_the_responses_api(settings: dict[str, Any], path: Path) -> None:
    ChatOpenAI(model="gpt-4o-mini", use_responses_api=True, **settings).invoke("The capital of France?")
    (record,) = records(path)
    assert (record.status, texts(record)) == ("ok", ["Paris is it."])
    sent = span(record)["log_request"]
    assert (sent["api_type"], sent["input_tokens"], sent["output_tokens"]) == ("responses", 8, 2)
    assert sent["metadata"].items() >= {"output_token_details.reasoning": "1"}.items()
    (message,) = sent["output"]["messages"]
    assert [part["text"] for part in message["content"]] == ["Paris is it."]


def test_a_refused_call_keeps_the_answer_without_its_cookies(
    server: OpenAIServer, settings: dict[str, Any], path: Path
) -> None:
    headers = {"x-request-id": "req_1", "retry-after": "7", "set-cookie": "__cf_bm=whose-session; path=/"}
    server.failure = (429, headers, {"message": "Slow down.", "type": "requests", "code": "rate_limit_exceeded"})
    with pytest.raises(RateLimitError) as raised:
        ChatOpenAI(model="gpt-4o-mini", **settings).invoke("The capital of France?")
    written = spooled(path)
    assert b"whose-session" not in written
    assert b"req_1" in written
    assert b'"retry-after":"7"' in written
    (record,) = records(path)
    assert record.status == "error"
    assert record.error is not None
    assert (record.error["type"], record.error["status_code"]) == (raised.type.__name__, 429)
    assert "Slow down." in record.error["message"]
    sent = span(record)["log_request"]
    assert (sent["status"], sent["error_type"]) == ("ERROR", "PROVIDER_RATE_LIMIT")
    assert (sent["provider"], sent["model"], sent["api_type"]) == ("openai", "gpt-4o-mini", "chat-completions")


def test_a_server_that_is_not_there(settings: dict[str, Any], path: Path) -> None:
    with pytest.raises(APIConnectionError):
        ChatOpenAI(model="gpt-4o-mini", **{**settings, "base_url": "http://127.0.0.1:1"}).invoke("hi")
    (record,) = records(path)
    sent = span(record)["log_request"]
    assert (sent["status"], sent["error_type"]) == ("ERROR", "PROVIDER_ERROR")


def test_a_stream_that_breaks_keeps_the_part_that_arrived(
    server: OpenAIServer, settings: dict[str, Any], path: Path
) -> None:
    server.cut = True
    with pytest.raises(APIError):
        list(ChatOpenAI(model="gpt-4o-mini", **settings).stream("The capital of France?"))
    (record,) = records(path)
    assert (record.status, texts(record)) == ("error", ["Paris is "])
    sent = span(record)["log_request"]
    assert (sent["status"], sent["error_type"]) == ("ERROR", "PROVIDER_ERROR")


@pytest.mark.parametrize("model", [ChatOpenAI, OpenAI])
def test_the_key_and_the_headers_a_model_sends_are_not_written(
    model: Any, settings: dict[str, Any], path: Path
) -> None:
    model(model="gpt-4o-mini", default_headers={"X-Gateway": "gateway-secret"}, **settings).invoke("hi")
    written = spooled(path)
    assert b"gpt-4o-mini" in written
    assert KEY.encode() not in written
    assert b"gateway-secret" not in written
